"""Which policies `herdless verify` looks at: those that are written out, and those of the user's own caches."""

from __future__ import annotations

import builtins
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from herdless._command._errors import CommandError, in_a_line
from herdless_core import Policy, PolicyError, PolicyOptions

OF_THE_CACHE: Final = frozenset({"maxsize", "max_loads"})
"""What spans keys, and so is no part of a policy."""

WORDS: Final = {"None": None, "True": True, "False": False}


def policies_named(written: Iterable[str], caches: Iterable[str]) -> Iterator[tuple[str, Policy]]:
    """Each policy with the name by which it is told of. Raises CommandError for what names none."""
    for argument in written:
        yield argument, _policy(argument)
    for argument in caches:
        yield argument, policy_of(argument)


def policy_of(argument: str) -> Policy:
    """The policy of what MODULE:CACHE names: a cache, a shared one too, a function made by `cached`, a Durable
    Object, or a policy.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")  # the console script's own directory stands there, not the user's
    try:
        found = pkgutil.resolve_name(argument)
    except Exception as error:  # whatever the user's module raises
        raise CommandError(f"--policy-of {argument}: {in_a_line(error)}") from error
    found = getattr(found, "cache", found)
    owners = (getattr(found, "_keyspace", None), getattr(found, "_fleet", None), found)  # of a shared cache: its fleet
    for place in (found, *(getattr(owner, "policy", None) for owner in owners)):
        if isinstance(place, Policy):
            return place
    raise CommandError(f"--policy-of {argument}: that is {type(found).__qualname__}, and has no policy: name a cache")


def _policy(argument: str) -> Policy:
    fields: dict[str, Any] = {}
    for part in argument.split(","):
        name, equals, text = part.partition("=")
        if not equals:
            raise CommandError(f"--policy {argument}: {part!r} is not FIELD=VALUE")
        fields[name.strip()] = _value(name.strip(), text.strip())
    try:
        return Policy(**fields)
    except PolicyError as error:
        raise CommandError(f"--policy {argument}: {error}") from error
    except TypeError as error:
        known = ", ".join(sorted(PolicyOptions.__annotations__))
        if fields.keys() & OF_THE_CACHE:
            known += ". maxsize and max_loads are the cache's: under every policy a value may be evicted at any moment"
        raise CommandError(f"--policy {argument}: give fields out of {known}") from error


def _value(field: str, text: str) -> object:
    """A number, a boolean or None where the text is one, and for `answers` an exception of Python's own; otherwise the
    text, which the policy refuses by name.
    """
    if text in WORDS:
        return WORDS[text]
    if field == "answers":
        return getattr(builtins, text, text)
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
