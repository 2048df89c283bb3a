"""How a key is shown: in messages of errors, in logs, in the names of tasks.

A key is the user's: it may be a secret, its `repr` may be long, have line ends, or fail. So a key stands in a text only
by `Shown`, which asks `show_key=` of the cache, and never fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, final

from herdless_core._errors import PolicyError

ShowKey: TypeAlias = Callable[[Any], str]

MOST_CHARACTERS: Final = 80


@final
class Shown:
    """Makes a short text of a key, on one line; whatever the key and the function do.

    show_key: a function from a key to the text that may stand for it. Raises PolicyError for what cannot be called.
    """

    __slots__ = ("_name", "_show")

    def __init__(self, show_key: ShowKey = repr) -> None:
        if not callable(show_key):
            raise PolicyError(f"show_key={show_key!r} is not accepted: give a function from a key to a str")
        self._show: Final = show_key
        self._name: Final = "repr" if show_key is repr else "show_key"

    def __call__(self, key: Any) -> str:
        """The text, of at most `MOST_CHARACTERS`; where the function fails, the type and the address of the key."""
        try:
            text: object = self._show(key)
            if isinstance(text, str):
                return _short(text)
        except Exception:  # noqa: BLE001, S110  # what it raises must not decide whether a load is started or settled
            pass
        return _short(f"<{type(key).__qualname__} at {id(key):#x}: {self._name} failed>")


def _short(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        text = text[: MOST_CHARACTERS - 3] + "..."
    if not text.isprintable():  # a line end would begin a line of a log, and a lone surrogate cannot be written at all
        text = repr(text)[1:-1]
        return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."
    return str(text)


shown: Final = Shown()
"""Where there is no cache that could have a `show_key`."""
