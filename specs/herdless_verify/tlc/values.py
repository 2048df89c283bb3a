"""Reading the values that TLC prints."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

_TOKEN: Final = re.compile(r'<<|>>|\|->|:>|@@|[{}\[\](),]|"[^"]*"|-?\d+|\w+')
_BOOLEANS: Final = {"TRUE": True, "FALSE": False}
_CLOSING: Final = {"<<": ">>", "{": "}", "[": "]", "(": ")"}


@lru_cache(maxsize=100_000)
def parse(text: str) -> Any:
    """A value: int, bool, str; tuple for a sequence, frozenset for a set, dict for a record or function. Do not change
    it, it is shared.

    Raises ValueError for what is none of these.
    """
    tokens = _TOKEN.findall(text)
    value, end = _value(tokens, 0)
    if end != len(tokens):
        raise ValueError(f"not a TLA+ value: {text!r}")
    return value


def parse_state(text: str) -> dict[str, str]:
    """The variables of a state, a line of conjunction each, with their values as text."""
    variables = {}
    for part in re.split(r"^/\\ ", text, flags=re.MULTILINE)[1:]:
        name, _, value = part.partition(" = ")
        variables[name] = " ".join(value.split())
    return variables


def _value(tokens: list[str], at: int) -> tuple[Any, int]:
    token = tokens[at]
    if token in _CLOSING:
        return _collection(tokens, at)
    if token in _BOOLEANS:
        return _BOOLEANS[token], at + 1
    if token.startswith('"'):
        return token[1:-1], at + 1
    return int(token), at + 1


def _collection(tokens: list[str], at: int) -> tuple[Any, int]:
    opening = tokens[at]
    at += 1
    items: list[Any] = []
    fields: dict[Any, Any] = {}
    while tokens[at] != _CLOSING[opening]:
        if tokens[at] in (",", "@@"):
            at += 1
        elif opening in "[(":
            key, at = (tokens[at], at + 1) if opening == "[" else _value(tokens, at)
            fields[key], at = _value(tokens, at + 1)
        else:
            item, at = _value(tokens, at)
            items.append(item)
    collected = {"<<": tuple, "{": frozenset}
    return (collected[opening](_hashable(item) for item in items) if opening in collected else fields), at + 1


def _hashable(item: Any) -> Any:
    """A record within a set or sequence."""
    return Record(item) if isinstance(item, dict) else item


class Record(dict[str, Any]):
    """A record that is an element."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]  # a dict is not hashable; this one is not changed
        return hash(tuple(sorted(map(str, self.items()))))
