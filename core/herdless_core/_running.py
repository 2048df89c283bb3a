"""A load that runs: the one mutable record of it that there is, in the core and in an adapter.

An entry knows of its load what never changes within a step, as a value: `herdless_core.Flight`. All that changes while
the load runs stands here, in one object for each generation, which the keyspace makes. Its attributes are the core's,
or what every adapter notes; what one runtime alone needs, to run the load and to answer its waiters, is added by a
subclass, whose name says the runtime: `AsyncioLoad`, `ThreadsLoad`.
"""

from __future__ import annotations

from typing import Any

from herdless_core._previous import Kept
from herdless_core._states import Evicted, Failure


class RunningLoad:
    """One load, from the step that starts it to its end.

    A subclass has to be made of the same three arguments, and to read or start nothing meanwhile: it is made in the
    middle of a step. What the adapter has to look up for it is filled in after the step, inside the same critical
    section. Few are alive at a time, and one is made for each miss: attributes that seldom differ from their defaults
    are the class's, at no cost.
    """

    # What the core knows

    has_ended: bool = False
    """Set when nobody waits for it any more."""
    evicted: Evicted | None = None
    """The entry that was removed while callers waited for this load, which are still to be answered."""
    is_answer: bool = False
    """Whether it ended by an error that is an answer."""
    is_reloaded: bool = False
    """Whether somebody has joined it who is to be told of its own end, and not of a value that is kept."""
    is_covered: bool = False
    """Whether a value was kept when somebody joined it who is to be answered with that after `soft_timeout`."""
    failure: Failure | None = None
    """What they are told, where the others are told a value that is kept. Not noted for anybody else: the traceback
    refers to the load's frames, and so to this record."""
    kept: Kept | None = None
    """What was kept when it was ordered, until its loader is given it; of loaders that take it alone."""
    gives_back: bool = False
    """Whether its loader said that the value is what was kept."""
    waits_for: tuple[RunningLoad, ...] = ()
    """The loads for which callers inside this one wait just now."""
    outdated_by: int = 0
    """The number of the invalidation by a tag since which nobody may be answered with its value; 0: there was none."""

    # What an adapter notes

    own_load: Any = None
    """The loader of the caller who started it, where that gave one: it takes the place of the cache's, and is let go
    when it is called.
    """
    boarder: int = 0
    """Who took the step that started it, and so has to launch it: a thread's number; 0 until that is noted."""
    is_launched: bool = False
    """Whether somebody runs the load, and will report its end."""
    is_settled: bool = False
    """Whether its waiters were answered."""
    places: tuple[tuple[int, Any], ...] = ()
    """Where those wait who joined before an invalidation by a tag, with the number of that: apart from later ones."""
    counted: int = 0
    """How many waited at the last invalidation by a tag."""
    is_joined: bool = False
    """Whether callers have joined since the one before."""
    failed_unseen: bool = False
    """Whether it failed and no caller was told: of a refresh only the log tells."""

    def __init__(self, key: Any, generation: int, due_at: int) -> None:
        """key: what is loaded; generation: the flight's; due_at: from this instant on it is too late, in nanoseconds,
        `NEVER` without `load_timeout`.
        """
        self.key = key
        self.generation = generation
        self.due_at = due_at

    def take_load(self) -> Any:
        """The caller's own loader, which is not kept any longer."""
        load, self.own_load = self.own_load, None
        return load

    def is_too_old_for(self, number: int) -> bool:
        """Whether its value must not be told to those of `places` with this number."""
        return 0 < self.outdated_by < number

    def holds_up(self) -> bool:
        """Whether this load cannot end before the caller does who runs in its context. A runtime in which a context is
        inherited by what the load does not wait for knows better.
        """
        return True
