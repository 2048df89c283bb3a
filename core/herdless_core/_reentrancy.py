"""Whether a load would wait for itself.

A loader may ask for other keys. When it asks for a key whose load waits, directly or through others, for this very
loader, nobody would ever wake up; so the lookup that closes the circle raises ReentrantLoad at once. Loads are nodes,
"a caller inside this load waits for that load" are edges; across caches too, since nodes are objects and not names.

The edge is added BEFORE the search, so that of two threads which close one circle from both sides, under the locks of
two caches, at least one sees it.
"""

from __future__ import annotations

from typing import Any, Final, final


@final
class RunningLoad:
    """One load while it runs: what it loads, and for which other loads its own callers wait just now."""

    __slots__ = ("generation", "has_ended", "key", "waits_for")

    def __init__(self, key: object, generation: int) -> None:
        self.key: Final[Any] = key
        self.generation: Final = generation
        self.has_ended = False
        """Set when nobody waits for it any more."""
        self.waits_for: list[RunningLoad] = []


def begin_wait(waiting: RunningLoad, target: RunningLoad) -> bool:
    """Note that `waiting` waits for `target`; False, and nothing noted, when that would be for ever."""
    waiting.waits_for = [load for load in waiting.waits_for if not load.has_ended]
    waiting.waits_for.append(target)
    if waiting in _all_that_wait_is_for(target):
        waiting.waits_for.remove(target)
        return False
    return True


def end_wait(waiting: RunningLoad, target: RunningLoad) -> None:
    """Note that one caller inside `waiting` no longer waits for `target`."""
    if target in waiting.waits_for:
        waiting.waits_for.remove(target)


def _all_that_wait_is_for(load: RunningLoad) -> set[RunningLoad]:
    """The load itself, and every load for which it waits, directly or through others."""
    seen = {load}
    rest = [load]
    while rest:
        for target in tuple(rest.pop().waits_for):
            if not target.has_ended and target not in seen:
                seen.add(target)
                rest.append(target)
    return seen
