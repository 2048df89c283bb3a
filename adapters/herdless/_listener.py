"""Who is told of the values that leave a cache: once for each of them, after the lock.

Inside the lock, what left is handed to the `Listener`; after it, whoever made it leave calls `tell`. Between the two an
interrupt may come in. So what is not told yet stands in a queue of the cache, from which it is told by whoever comes
next: the mending of what was broken off, the next removal, or `close`.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable
from threading import get_ident
from typing import Any, Final, TypeAlias, final

from herdless._log import UNNAMED, Log
from herdless_core import Holding, PolicyError, ShowKey

OnRemove: TypeAlias = Callable[[Any, Any, Any], object]
"""What `on_remove=` takes: a function of a key, a value and the cause, a `herdless_core.RemovalCause`."""


@final
class Listener:
    """Calls `on_remove`, and logs what that raises. shown: from a key to the text that stands for it."""

    def __init__(self, on_remove: OnRemove, shown: ShowKey, log: Log = UNNAMED) -> None:
        self._log: Final = log
        self._on_remove: Final = on_remove
        self._shown: Final = shown
        self._untold: Final[deque[Holding]] = deque()
        self._tellers: Final[set[int]] = set()
        """The threads that call the listener just now."""

    def take(self, leaving: Iterable[object]) -> None:
        """Take what is to be told from among what left. Inside the lock; where that is broken off, it is done again."""
        self._untold.extend([each for each in leaving if isinstance(each, Holding)])

    def tell(self) -> None:
        """Call the listener for all that is not told yet. Outside of the lock, for it may call the cache.

        What leaves by that is told when the call is over, and not inside of it: however much leaves, the stack does not
        grow.
        """
        me = get_ident()
        if not self._untold or me in self._tellers:
            return
        try:
            try:
                self._tellers.add(me)
                self._tell_all()
            finally:
                self._tellers.discard(me)
        except BaseException:  # an interrupt, in the line above too: this thread would never tell again
            self._tellers.discard(me)
            raise

    def forget(self) -> None:
        """In a forked child: what left the cache in the parent is told there."""
        self._untold.clear()
        self._tellers.clear()

    def _tell_all(self) -> None:
        removal: Holding | None = None
        try:
            # By an iterator: after a call from here an interrupt may come in, and what was taken off would be lost.
            for removal in iter(self._untold.popleft, None):
                self._call(removal)
        except IndexError:
            pass  # nothing is left
        except BaseException:
            if removal is not None and not removal.is_told:
                self._untold.appendleft(removal)
            raise

    def _call(self, removal: Holding) -> None:
        if removal.is_told:  # what was broken off and done again may be there twice
            return
        try:
            removal.is_told = True
            answer = self._on_remove(removal.key, removal.value, removal.cause)
            if inspect.isawaitable(answer):
                if inspect.iscoroutine(answer):
                    answer.close()
                raise TypeError(f"on_remove={self._on_remove!r} is not accepted: it returned {answer!r}, to be awaited")
        except Exception as error:  # noqa: BLE001  # of foreign code
            shown = self._shown(removal.key)
            self._log.tell("on_remove_failed", "on_remove failed for the value of %s", shown, error=error)


def listener(on_remove: object, shown: ShowKey, log: Log = UNNAMED) -> Listener | None:
    """Who calls it, or None. Raises PolicyError for what cannot be called, or would have to be awaited."""
    if on_remove is None:
        return None
    if not callable(on_remove) or inspect.iscoroutinefunction(on_remove):
        raise PolicyError(
            f"on_remove={on_remove!r} is not accepted: give a function of a key, a value and the cause, not async"
        )
    return Listener(on_remove, shown, log)
