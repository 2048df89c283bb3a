"""Whether a load would wait for itself.

A loader may ask for other keys. When it asks for a key whose load waits, directly or through others, for this very
loader, nobody would ever wake up; so the lookup that closes the circle raises ReentrantLoad at once. Loads are nodes,
"a caller inside this load waits for that load" are edges; across caches too, since nodes are objects and not names.

The edge is added BEFORE the search, so that of two threads which close one circle from both sides, under the locks of
two caches, at least one sees it.
"""

from __future__ import annotations

from typing import Any

from herdless_core._states import Evicted


class RunningLoad:
    """One load while it runs: what it loads, and for which other loads its own callers wait just now.

    An adapter adds what it needs to run the load and to answer its waiters, in a subclass. Few are alive at a time, and
    one is made for each miss: attributes that seldom differ from their defaults are the class's, at no cost.
    """

    has_ended: bool = False
    """Set when nobody waits for it any more."""
    evicted: Evicted | None = None
    """The entry that was removed while callers waited for this load, which are still to be answered."""
    waits_for: tuple[RunningLoad, ...] = ()

    def __init__(self, key: Any, generation: int, due_at: int) -> None:
        self.key = key
        self.generation = generation
        self.due_at = due_at
        """From this instant on it is too late, in nanoseconds; `NEVER` without `load_timeout`."""

    def holds_up(self) -> bool:
        """Whether this load cannot end before the caller does who runs in its context. A runtime in which a context is
        inherited by what the load does not wait for knows better.
        """
        return True


def begin_wait(waiting: RunningLoad, target: RunningLoad) -> bool:
    """Note that `waiting` waits for `target`; False, and nothing noted, when that would be for ever."""
    waited_for = tuple(load for load in waiting.waits_for if not load.has_ended)
    waiting.waits_for = (*waited_for, target)
    if waiting in _all_that_wait_is_for(target):
        waiting.waits_for = waited_for
        return False
    return True


def end_wait(waiting: RunningLoad, target: RunningLoad) -> None:
    """Note that one caller inside `waiting` no longer waits for `target`."""
    if target in waiting.waits_for:
        index = waiting.waits_for.index(target)
        waiting.waits_for = waiting.waits_for[:index] + waiting.waits_for[index + 1 :]


def _all_that_wait_is_for(load: RunningLoad) -> set[RunningLoad]:
    """The load itself, and every load for which it waits, directly or through others."""
    seen = {load}
    rest = [load]
    while rest:
        for target in rest.pop().waits_for:
            if not target.has_ended and target not in seen:
                seen.add(target)
                rest.append(target)
    return seen
