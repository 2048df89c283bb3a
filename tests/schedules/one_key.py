"""What the rounds of the stress command share: one key, and everything that judges what happens to it."""

from __future__ import annotations

import random
import time
from typing import Any

from herdless.testing import History, Trace, assert_linearizable, assert_trace_valid
from tests.schedules.oracle import Made, Oracle


class OneKey:
    """A round. All that is drawn in it comes from `dice`."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.trace = Trace()
        self.history = History()
        self.oracle = Oracle(time.monotonic_ns)

    def load(self) -> Made:
        """What the loader returns; it may take its time afterwards."""
        made = self.oracle.load_begins("a")
        return self.history.load(lambda: made)

    def invalidate(self, cache: Any) -> None:
        """A removal."""
        with self.oracle.removing("a"), self.history.during("invalidate"):
            cache.invalidate("a")

    def put(self, cache: Any) -> None:
        """Another."""
        made = self.oracle.put("a")
        with self.oracle.removing("a", made), self.history.during("put", made):
            cache.put("a", made)

    async def get(self, cache: Any) -> None:
        """A lookup in an event loop. Of one that is cancelled nothing is noted."""
        caller, called_at = self.oracle.begins("a"), self.history.now()
        try:
            made = await cache.get("a")
        except BaseException:
            caller.may_leave = True
            self.oracle.left(caller)
            raise
        self.history.add("get", called_at, made)
        self.oracle.answered(caller, made)

    def judged(self) -> int:
        """How many steps there were, all of which are right, as is what the callers saw."""
        self.oracle.assert_all_answered()
        self.oracle.assert_loads_were_ordered(self.trace)
        assert_trace_valid(self.trace, has_ended=True)
        assert_linearizable(self.history)
        return len(self.trace)
