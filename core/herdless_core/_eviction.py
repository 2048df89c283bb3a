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
from collections.abc import Callable, Iterable, Sequence
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
    RELOADED = "reloaded"
    """Expired, and being loaded again: the value may go, the key stays."""
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
    EVICT_AND_WAIT = "evict and wait"
    """Its value is evicted, its key goes to the main queue's end."""
    EVICT_AND_REMEMBER = "evict and remember"
    """Evicted, and remembered as a ghost."""


def verdict(queue: Queue, standing: Standing) -> Verdict:
    """The whole decision, one key at a time."""
    match standing:
        case Standing.GONE:
            return Verdict.DROP
        case Standing.EXPIRED:
            return Verdict.EVICT
        case Standing.RELOADED:
            return Verdict.EVICT_AND_WAIT
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
class Line(Generic[K]):
    """Keys in the order in which they came, and a hand that looks at one after the other and changes no order.

    The order is that of `passed` and then `ahead`; the hand stands between them.
    """

    __slots__ = ("ahead", "passed")

    def __init__(self) -> None:
        self.passed: deque[K] = deque()
        """Those at which the hand has looked since it last began at the front."""
        self.ahead: deque[K] = deque()

    def __len__(self) -> int:
        return len(self.passed) + len(self.ahead)

    def pop(self) -> K:
        """The key that came first, taken off. The line MUST NOT be empty."""
        return self.passed.popleft() if self.passed else self.ahead.popleft()

    def rewind(self) -> None:
        """The hand, which has looked at all, goes back to the front."""
        self.ahead, self.passed = self.passed, self.ahead

    def take_off(self, key: K) -> Sequence[K]:
        """The key as it stands in the line, taken off; nothing where it is not there. Raises what its comparison
        raises. This takes time for each key in the line.
        """
        for part in (self.passed, self.ahead):
            if key in part:
                index = part.index(key)
                found = part[index]
                del part[index]
                return (found,)
        return ()

    def replace(self, keys: Iterable[K]) -> None:
        """These are the keys in the line; the hand goes back to the front."""
        self.passed = deque()
        self.ahead = deque(keys)

    def clear(self) -> None:
        """Every key has gone."""
        self.passed.clear()
        self.ahead.clear()


@final
class S3Fifo(Generic[K]):
    """The queues. `standing(key, now)` is asked at the head of a queue; `unvisit(key)` is told when the hand passes a
    visited key, and `let_go(key)` when a key is taken off for good.
    """

    __slots__ = (
        "_ghost_order",
        "_ghosts",
        "_let_go",
        "_small_share",
        "_standing",
        "_unvisit",
        "main",
        "maxsize",
        "small",
    )

    def __init__(
        self,
        maxsize: int,
        standing: Callable[[K, int], Standing],
        unvisit: Callable[[K], None],
        let_go: Callable[[K], None],
    ) -> None:
        self.maxsize = maxsize
        self.small: Final = Line[K]()
        self.main: Final = Line[K]()
        self._small_share = max(1, maxsize // SMALL_SHARE)
        self._standing: Final = standing
        self._unvisit: Final = unvisit
        self._let_go: Final = let_go
        self._ghosts: Final[set[int]] = set()
        """Hashes, so that no key is kept for its ghost; two keys of one hash cost a promotion, and no more."""
        self._ghost_order: Final[deque[int]] = deque()

    def fit(self, count: int) -> None:
        """There is room for so many keys just now: where it is their weight that is bounded, as many as there are."""
        self.maxsize = count
        self._small_share = max(1, count // SMALL_SHARE)
        while len(self._ghost_order) > count:
            self._ghosts.discard(self._ghost_order.popleft())

    def add(self, key: K) -> None:
        """A key that has just got a value. Raises what its hash raises."""
        ghosts = self._ghosts
        if ghosts:
            ghost = hash(key)
            if ghost in ghosts:
                ghosts.discard(ghost)
                self.main.ahead.append(key)
                return
        self.small.ahead.append(key)

    def victim(self, now: int) -> Victim[K] | None:
        """The key to evict, taken off its queue; None when callers wait for every one."""
        held = 0
        while True:
            queue = self._next_queue()
            if queue is None:
                return None
            key = self.small.pop() if queue is Queue.SMALL else self.main.pop()
            decision = verdict(queue, self._standing(key, now))
            match decision:
                case Verdict.DROP:
                    self._let_go(key)
                case Verdict.WAIT:
                    held += 1
                    self.main.ahead.append(key)
                    if held > len(self.small) + len(self.main):
                        return None
                case Verdict.KEEP:
                    held = 0  # another round: this one may go at its end
                    self.main.ahead.append(key)
                    self._unvisit(key)
                case Verdict.EVICT_AND_WAIT:
                    self.main.ahead.append(key)
                    return Victim(key)
                case Verdict.EVICT | Verdict.EVICT_AND_REMEMBER:
                    if decision is Verdict.EVICT_AND_REMEMBER:
                        self._remember(key)
                    self._let_go(key)
                    return Victim(key)
                case _:
                    assert_never(decision)

    def mend(self) -> None:
        """A step was broken off: every ghost has its place in the order in which they are forgotten."""
        self._ghosts.intersection_update(self._ghost_order)

    def _next_queue(self) -> Queue | None:
        main = len(self.main.passed) + len(self.main.ahead)
        small = len(self.small.passed) + len(self.small.ahead)
        if small and (small >= self._small_share or not main):
            return Queue.SMALL
        return Queue.MAIN if main else None

    def _remember(self, key: K) -> None:
        try:
            ghost = hash(key)
        except Exception:  # noqa: BLE001  # the key's own, of any kind: it comes back without being promoted
            return
        self._ghosts.add(ghost)
        self._ghost_order.append(ghost)
        if len(self._ghost_order) > self.maxsize:
            self._ghosts.discard(self._ghost_order.popleft())
