"""Which entry must go when there is no room: S3-FIFO.

Yang, Zhang, Qiu, Yue, Vinayak, "FIFO queues are all you need for cache eviction" (SOSP 2023): new keys enter a small
queue, a tenth of the room; those looked up again before they reach its end move to the main queue, the others leave and
are remembered for a while as ghosts; a ghost that comes back enters the main queue at once. The main queue is a clock:
what was looked up since the hand last passed stays for another round. It resists scans, and a hit moves nothing.

This module decides over keys alone. Whether a key was looked up, or may not go because callers wait for it, it asks the
keyspace, through a function. One bit of looked-up takes the place of the paper's two: the same hit ratio within noise
(docs/performance.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, Generic, TypeVar, assert_never, final

K = TypeVar("K")

SMALL_SHARE: Final = 10
"""The small queue is one part in this many of the room."""


class Standing(Enum):
    """What the keyspace says of a key in a queue."""

    GONE = "gone"
    """Removed since; the queue's mention of it is void."""
    EXPIRED = "expired"
    """Still there, but of no use to anybody any more."""
    HELD = "held"
    """Callers wait for its flight: it may not go (PendingIsNoVictim)."""
    VISITED = "visited"
    """Looked up since the hand last passed."""
    IDLE = "idle"


class Queue(Enum):
    """The two queues of resident keys."""

    SMALL = "small"
    MAIN = "main"


class Verdict(Enum):
    """What happens to the key at the head of a queue."""

    DROP = "drop"
    """Taken off the queue: it has gone already."""
    KEEP = "keep"
    """To the main queue's end, no longer counted as looked up."""
    WAIT = "wait"
    """To the end of the same queue, unchanged."""
    EVICT = "evict"
    EVICT_AND_REMEMBER = "evict and remember"
    """Evicted, and remembered as a ghost."""


def verdict(queue: Queue, standing: Standing) -> Verdict:
    """The whole decision, one key at a time."""
    match standing:
        case Standing.GONE:
            return Verdict.DROP
        case Standing.EXPIRED:
            return Verdict.EVICT
        case Standing.HELD:
            return Verdict.WAIT
        case Standing.VISITED:
            return Verdict.KEEP
        case Standing.IDLE:
            return Verdict.EVICT_AND_REMEMBER if queue is Queue.SMALL else Verdict.EVICT
    assert_never(standing)


@final
class Victim(Generic[K]):
    """The key that must go; wrapped, since None is a key like any other."""

    __slots__ = ("key",)

    def __init__(self, key: K) -> None:
        self.key: Final = key


@final
class S3Fifo(Generic[K]):
    """The queues. `standing(key, now)` is asked at the head of a queue; `unvisit(key)` is told when the hand passes a
    visited key.
    """

    __slots__ = ("_ghost_order", "_ghosts", "_main", "_small", "_small_share", "_standing", "_unvisit", "maxsize")

    def __init__(self, maxsize: int, standing: Callable[[K, int], Standing], unvisit: Callable[[K], None]) -> None:
        self.maxsize: Final = maxsize
        self._small_share: Final = max(1, maxsize // SMALL_SHARE)
        self._standing: Final = standing
        self._unvisit: Final = unvisit
        self._small: deque[K] = deque()
        self._main: deque[K] = deque()
        self._ghosts: Final[set[K]] = set()
        self._ghost_order: Final[deque[K]] = deque()

    def add(self, key: K, now: int) -> None:
        """A key that has just got a value."""
        if key in self._ghosts:
            self._ghosts.discard(key)
            self._main.append(key)
        else:
            self._small.append(key)
        if len(self._small) + len(self._main) > 2 * self.maxsize + SMALL_SHARE:
            self._compact(now)

    def victim(self, now: int) -> Victim[K] | None:
        """The key to evict, taken off its queue; None when callers wait for every one."""
        held = 0
        while held <= len(self._small) + len(self._main):
            queue = self._next_queue()
            if queue is None:
                return None
            keys = self._small if queue is Queue.SMALL else self._main
            key = keys.popleft()
            decision = verdict(queue, self._standing(key, now))
            match decision:
                case Verdict.DROP:
                    continue
                case Verdict.WAIT:
                    held += 1
                    self._main.append(key)
                case Verdict.KEEP:
                    held = 0  # another round: this one may go at its end
                    self._unvisit(key)
                    self._main.append(key)
                case Verdict.EVICT:
                    return Victim(key)
                case Verdict.EVICT_AND_REMEMBER:
                    self._remember(key)
                    return Victim(key)
                case _:
                    assert_never(decision)
        return None

    def clear(self) -> None:
        """Every key has gone; the ghosts stay."""
        self._small.clear()
        self._main.clear()

    def rebuild(self, resident: Iterable[K]) -> None:
        """These are the keys that have a value: each gets one mention, where it had one in the same queue and order."""
        missing = dict.fromkeys(resident)
        main = [key for key in dict.fromkeys(self._main) if key in missing]
        for key in main:
            del missing[key]
        small = [key for key in dict.fromkeys(self._small) if key in missing]
        for key in small:
            del missing[key]
        self._main = deque(main)
        self._small = deque([*small, *missing])
        self._ghosts.intersection_update(self._ghost_order)

    def _next_queue(self) -> Queue | None:
        if self._small and (len(self._small) >= self._small_share or not self._main):
            return Queue.SMALL
        return Queue.MAIN if self._main else None

    def _remember(self, key: K) -> None:
        self._ghosts.add(key)
        self._ghost_order.append(key)
        if len(self._ghost_order) > self.maxsize:
            self._ghosts.discard(self._ghost_order.popleft())

    def _compact(self, now: int) -> None:
        """Forget void mentions: a key that was removed and came back stands in a queue twice."""
        resident = [key for key in dict.fromkeys(self._main) if self._standing(key, now) is not Standing.GONE]
        self._main = deque(resident)
        known = set(resident)
        self._small = deque(
            key
            for key in dict.fromkeys(self._small)
            if key not in known and self._standing(key, now) is not Standing.GONE
        )
