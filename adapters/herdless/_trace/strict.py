"""The text of one line as plain data, of which each name holds what the format says, and nothing else.

A trace may come from anywhere. What is wrong in it is refused here, once, so that whoever reads the line afterwards
meets integers of 64 bits where integers belong, text where text belongs, and no deep nesting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from herdless_core import Plain

LINE_LIMIT: Final = 2**20
"""So many bytes a line has at most, so that reading one needs some megabytes and no more."""

SHOWN: Final = 60
"""So many characters of what is wrong are shown."""

_LARGEST: Final = 2**63 - 1
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")


class WrongLine(ValueError):
    """The line is none that herdless writes; the message says why, in one line."""


def parsed(text: str) -> Plain:
    """The JSON object that the line is, without what the format does not name. Raises WrongLine for anything else."""
    try:
        plain = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except WrongLine as error:
        raise WrongLine(f"is not a line that herdless writes ({error})") from None
    except RecursionError:
        raise WrongLine(f"is nested too deeply: {shown(text)}") from None
    except ValueError:
        raise WrongLine(f"is not JSON: {shown(text)}") from None
    if not isinstance(plain, dict):
        raise WrongLine(f"is not a JSON object: {shown(text)}")
    return plain


def shown(content: object) -> str:
    """What is wrong, as Python writes it, and not too long of it."""
    content = content.rstrip("\n") if isinstance(content, str) else content
    if isinstance(content, str) and len(content) > SHOWN:
        return repr(content[:SHOWN] + "...")
    if isinstance(content, dict | list):
        return "an object" if isinstance(content, dict) else "a list"
    said = repr(content)
    return said if len(said) <= SHOWN else said[:SHOWN] + "..."


def escaped(text: str, keep: str = "") -> str:
    """The text with escapes for what cannot be printed: controls, directions of writing, halves of characters.

    keep: characters that are left as they are.
    """
    return "".join(each if each.isprintable() or each in keep else ascii(each)[1:-1] for each in text)


def _object(pairs: list[tuple[str, Any]]) -> Plain:
    return {name: KINDS[name](name, content) for name, content in pairs if name in KINDS}


def _no_constant(constant: str) -> NoReturn:
    raise WrongLine(f"{constant} is no number")


def _integer(name: str, content: object) -> int:
    if isinstance(content, str) and _INTEGER.fullmatch(content):
        content = int(content)
    if type(content) is not int or abs(content) > _LARGEST:
        raise WrongLine(f"{name}={shown(content)} is no integer of 64 bits")
    return content


def _integer_or_null(name: str, content: object) -> int | None:
    return None if content is None else _integer(name, content)


def _boolean(name: str, content: object) -> bool:
    if not isinstance(content, bool):
        raise WrongLine(f"{name}={shown(content)} is neither true nor false")
    return content


def _text(name: str, content: object) -> str:
    if not isinstance(content, str):
        raise WrongLine(f"{name}={shown(content)} is no text")
    return content


def _text_or_null(name: str, content: object) -> str | None:
    return None if content is None else _text(name, content)


def _an_object(name: str, content: object) -> Plain:
    if not isinstance(content, dict):
        raise WrongLine(f"{name}={shown(content)} is no object")
    return content


def _an_object_or_null(name: str, content: object) -> Plain | None:
    return None if content is None else _an_object(name, content)


def _objects(name: str, content: object) -> list[Plain]:
    if not isinstance(content, list):
        raise WrongLine(f"{name}={shown(content)} is no list")
    return [_an_object(name, each) for each in content]


def _event(name: str, content: object) -> object:
    """A step's event is an object, in which `event` is the name of its kind."""
    return _text(name, content) if isinstance(content, str) else _an_object(name, content)


def _name_of_a_value(name: str, content: object) -> str | int:
    if isinstance(content, bool) or not isinstance(content, str | int):
        raise WrongLine(f"{name}={shown(content)} stands for no value")
    return content


def _number(name: str, content: object) -> int | float:
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise WrongLine(f"{name}={shown(content)} is no number")
    return content


def _anything_flat(name: str, content: object) -> object:
    del name
    return shown(content) if isinstance(content, dict | list) else content


KINDS: Final[Mapping[str, Callable[[str, Any], object]]] = {
    "herdless_trace": _anything_flat,  # another version must be told apart, whatever it looks like
    **dict.fromkeys(
        (
            "now",
            "generation",
            "age",
            "started_at",
            "due_at",
            "waiters",
            "loaded_at",
            "refresh_at",
            "hit_until",
            "stale_until",
            "kept_until",
            "retry_at",
        ),
        _integer,
    ),
    **dict.fromkeys(
        (
            "ttl",
            "early_refresh",
            "stale_while_revalidate",
            "stale_if_error",
            "negative_ttl",
            "load_timeout",
            "soft_timeout",
            "refresh_backoff",
            "max_waiters",
        ),
        _integer_or_null,
    ),
    **dict.fromkeys(
        (
            "leads",
            "can_cancel",
            "is_answer",
            "is_stale",
            "is_memorable",
            "is_durable",
            "is_forked",
            "stored",
            "answers",
            "remember_timeouts",
            "reloads",
        ),
        _boolean,
    ),
    **dict.fromkeys(("key", "by", "state", "cause", "effect", "kind", "message"), _text),
    "owner": _text_or_null,
    **dict.fromkeys(("policy", "before", "after", "outcome", "error", "rest"), _an_object),
    **dict.fromkeys(("flight", "lifetime"), _an_object_or_null),
    "effects": _objects,
    "event": _event,
    "value": _name_of_a_value,
    "jitter": _number,
}
"""What each name holds, wherever in a line it stands."""
