"""Foreign code: what calls a cache, or breaks into it, where its own callers do not.

Values and keys have finalizers, weak references have callbacks, collections are forced, a timer's signal comes, the log
has a handler of the user's own. All of them use the cache under test, wherever the program happens to be, and so inside
its lock too: nothing may freeze, and nobody may be told what is not so. The judges' own code is left alone: `Judging`
says whether this thread is inside of it.
"""

from __future__ import annotations

import gc
import logging
import random
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from types import FrameType
from typing import Any, Final, Literal, TypeAlias, final

from herdless._testing._injection import LIBRARY
from herdless.adapter import LOGGER, BaseCache

Injection: TypeAlias = Literal["finalizers", "collections", "signals", "interrupts", "factories", "threads", "logs"]

INJECTIONS: Final[tuple[Injection, ...]] = (
    "finalizers",
    "collections",
    "signals",
    "interrupts",
    "factories",
    "threads",
    "logs",
)
"""All there are; docs/commands.md says what each does."""

FINALIZED: Final = 0.3
"""So large a part of the values has a finalizer."""
TOUCHED: Final = 0.002
"""So often a key's `__hash__` or `__eq__`, or the clock, does more than it should."""
COLLECT_AFTER: Final = 50
"""So many new objects start a collection, where collections are forced."""
SIGNAL_EVERY_SECONDS: Final = 0.001

_SOAK: Final = str(Path(__file__).parent)
_WHERE_CALLED: Final = {"_judged", "_within", "change", "<lambda>"}
"""The functions of the soak that call the cache, and can bear to be interrupted in it."""


_NOT_OF_CALLERS: Final = {"_run", "close", "settled"}
"""The library's functions that may be run by somebody else: by an eager task, by who plays the round."""


class Interrupted(BaseException):
    """What the signal's handler raises in a caller."""


@final
class Judging:
    """A lock of the judges', which knows whether this thread is inside, or about to be."""

    def __init__(self) -> None:
        self._lock: Final = threading.RLock()
        self._inside: Final[set[int]] = set()

    def __enter__(self) -> None:
        self._inside.add(get_ident())  # first: who comes in between must not wait for a cache with this lock held
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self._inside.discard(get_ident())

    @property
    def is_here(self) -> bool:
        """Whether this thread judges."""
        return get_ident() in self._inside


@final
class Foreign:
    """The foreign code of one round. act: uses the cache once, by the name of what does so."""

    def __init__(
        self,
        injections: frozenset[Injection],
        dice: random.Random,
        may_act: Callable[[], bool],
        act: Callable[[BaseCache[str, Any, Any], str], None],
    ) -> None:
        self.injections: Final = injections
        self._is_interrupting = False
        """Whether an exception is on its way: a second one while the first is dealt with is more than is promised."""
        self._dice: Final = dice
        self._may_act: Final = may_act
        self._act: Final = act
        self._acting: Final[set[int]] = set()
        self._references: Final[set[weakref.ref[_Finalizer]]] = set()
        self.cache: BaseCache[str, Any, Any] | None = None

    def act(self, who: str) -> None:
        """Use the cache, unless the storm is over, or this thread does so already or judges."""
        me = get_ident()
        if self.cache is None or me in self._acting or not self._may_act():
            return
        self._acting.add(me)
        try:
            self._act(self.cache, who)
        finally:
            self._acting.discard(me)

    def interrupted(self) -> None:
        """The exception has arrived at the caller."""
        self._is_interrupting = False

    # Values and keys

    def finalizer(self) -> object:
        """What a value keeps: its end uses the cache. Of each three one is found by a collection only."""
        if "finalizers" not in self.injections or self._dice.random() > FINALIZED:
            return None
        last = _Finalizer(self)
        kind = self._dice.randrange(3)
        if kind == 0:
            last.itself = last
        elif kind == 1:
            self._references.add(weakref.ref(last, self._gone))
        return last

    def _gone(self, reference: weakref.ref[_Finalizer]) -> None:
        self._references.discard(reference)
        self.act("weak reference's callback")

    def key(self, key: str) -> str:
        """A key whose `__hash__` and `__eq__` may do more, and whose end may use the cache."""
        return _Key(key, self) if self.injections & {"finalizers", "collections"} else key

    def touched(self, who: str) -> None:
        """Code of the user's is called by the cache."""
        if self._dice.random() < TOUCHED:
            if "collections" in self.injections:
                gc.collect(self._dice.choice([0, 0, 0, 1]))
            if "finalizers" in self.injections:
                self.act(who)

    # While a round runs

    @contextmanager
    def around(self, cache: BaseCache[str, Any, Any]) -> Iterator[None]:
        """All that is not of values and keys."""
        self.cache = cache
        with _collecting("collections" in self.injections), self._logging(), self._signalling():
            try:
                yield
            finally:
                self.cache = None

    @contextmanager
    def _logging(self) -> Iterator[None]:
        handler = _Handler(self)
        if "logs" in self.injections:
            LOGGER.addHandler(handler)
        try:
            yield
        finally:
            LOGGER.removeHandler(handler)

    @contextmanager
    def _signalling(self) -> Iterator[None]:
        wanted = self.injections & {"signals", "interrupts"} and hasattr(signal, "setitimer")
        if not wanted or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGALRM, self._handle)
        signal.setitimer(signal.ITIMER_REAL, SIGNAL_EVERY_SECONDS, SIGNAL_EVERY_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)

    def _handle(self, _number: int, frame: FrameType | None) -> None:
        if frame is None or not frame.f_code.co_filename.startswith(LIBRARY):
            return  # a loop's own code is not to be called into while it runs: asyncio and trio say so
        if "interrupts" in self.injections and self._dice.random() < 0.5 and _is_called_by_soak(frame):
            if self._may_act() and not self._is_interrupting:
                self._is_interrupting = True
                raise Interrupted
        elif "signals" in self.injections:
            self.act("signal")


def _is_called_by_soak(frame: FrameType | None) -> bool:
    """Whether the frame, and all that it was called by up to the soak's own, is the library's."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_SOAK):
            return frame.f_code.co_name in _WHERE_CALLED
        if not name.startswith(LIBRARY) or frame.f_code.co_name in _NOT_OF_CALLERS:
            return False
        frame = frame.f_back
    return False


@contextmanager
def _collecting(wanted: bool) -> Iterator[None]:
    before = gc.get_threshold()
    if wanted:
        gc.set_threshold(COLLECT_AFTER, 5, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@final
class _Finalizer:
    def __init__(self, foreign: Foreign) -> None:
        self._foreign: Final = foreign
        self.itself: object = None

    def __del__(self) -> None:
        with suppress(AttributeError):  # half made
            self._foreign.act("finalizer")


@final
class _Key(str):
    __slots__ = ("_foreign",)
    _foreign: Foreign

    def __new__(cls, text: str, foreign: Foreign) -> _Key:
        """A text that knows whom to tell."""
        key = super().__new__(cls, text)
        key._foreign = foreign
        return key

    def __hash__(self) -> int:
        self._foreign.touched("key's __hash__")
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        self._foreign.touched("key's __eq__")
        return super().__eq__(other)

    def __del__(self) -> None:
        self._foreign.touched("key's finalizer")


@final
class _Handler(logging.Handler):
    def __init__(self, foreign: Foreign) -> None:
        super().__init__()
        self._foreign: Final = foreign

    def emit(self, _record: logging.LogRecord) -> None:
        """What is logged of a cache is a reason to use it."""
        self._foreign.act("log handler")
