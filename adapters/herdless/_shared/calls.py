"""By which text a store knows a call of a decorated function, unless `store_key` says it.

The text begins with the function's name, so that two functions may be given one store, and goes on with the arguments:
`shop.prices.price_of(7,"EUR")`. Arguments that are equal have one text, since they are one key in a process, and those
that are not have two.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any, Final

from herdless._call import is_mark
from herdless._shared.options import SharedOptions
from herdless_core import PolicyError

LONGEST: Final = 500
"""A text of more characters is given by its SHA-256, so that no argument makes a key that a store does not take."""

SHORT: Final = 10**15
"""Integers from here on are written in base 16, which has no limit of digits."""

ACCEPTED: Final = "str, int, float, bool, None, bytes, or tuples of these"


def options_of_calls(function: Any, options: SharedOptions) -> SharedOptions:
    """The options, with the default for `store_key`. Raises PolicyError for a function of whose name there may be
    several.
    """
    if "store_key" in options:
        return options
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    if "<" in name or name.startswith(".") or name.endswith("."):
        raise PolicyError(
            f"store= is not accepted for {function!r} without store_key=: there may be others of its name. Give one to "
            "a function that is defined in a module or a class, or give store_key=, from a tuple of arguments to text"
        )
    return {**options, "store_key": text_of_calls(name)}


def text_of_calls(name: str) -> Callable[[Any], str]:
    """From what a call is cached by, a tuple, to its text. name: of the function, which nothing else is called."""

    def text_of(call: Any) -> str:
        text = ",".join(map(_text, call))
        if len(text) > LONGEST:
            text = f"#{hashlib.sha256(text.encode()).hexdigest()}"
        return f"{name}({text})"

    return text_of


def _text(value: Any) -> str:
    """Equal values have equal texts: 1, 1.0 and True are one key."""
    kind = type(value)
    if kind is str:
        return json.dumps(value)
    if kind is tuple:
        return f"({','.join(map(_text, value))})"
    if kind is bytes:
        return f"b{value.hex()}"
    if value is None:
        return "null"
    if is_mark(value):
        return "*"
    if kind in {int, bool} or (kind is float and math.isfinite(value) and value.is_integer()):
        return f"{int(value):#x}" if abs(value) >= SHORT else f"{int(value):d}"
    if kind is float and not math.isnan(value):
        return repr(value)
    raise PolicyError(
        f"an argument of type {kind.__name__} is not accepted in a key: with store= they are {ACCEPTED}. "
        "Give key=, a function of the same arguments that returns such a value, or store_key="
    )
