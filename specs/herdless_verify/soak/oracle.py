"""The model of what callers may be told, as the soak asks it: lifetimes by the plan, complaints into the findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final

from herdless_core import NANOSECONDS_PER_SECOND, NEVER, LoadFailed, LoadSucceeded, LoadTimeout, Put, Step
from herdless_verify.soak.findings import Findings
from herdless_verify.soak.foreign import Judging
from herdless_verify.soak.model import Caller, LoadBroke, Made, Model
from herdless_verify.soak.plan import RoundPlan


@final
class Oracle(Model):
    """Records what happens to one cache, and complains of what its callers are told."""

    def __init__(self, plan: RoundPlan, clock: Callable[[], int], findings: Findings) -> None:
        self._judging: Final = Judging()
        super().__init__(clock, plan.policy, self._judging)
        self._findings: Final = findings
        self._waiting: Final[dict[int, Caller]] = {}
        policy = plan.policy
        self._ttl: Final = policy["ttl"]
        self._windows: Final = _ns(max(policy["stale_while_revalidate"], policy["stale_if_error"]))
        self._negative: Final = _ns(policy["negative_ttl"])

    # What happens

    @property
    def is_judging(self) -> bool:
        """Whether this thread is inside of here."""
        return self._judging.is_here

    def made_by_load(self, key: str, generation: int, ttl: float | None, *, is_kept: bool) -> Made:
        """A load begins: what it will give is read now at the earliest."""
        ttl_ns = _ns(self._ttl if ttl is None else ttl) if is_kept else 0
        kept_for = min(NEVER, ttl_ns + self._windows) if is_kept else 0
        return Made(key, f"the value of load {generation} of {key}", self.number(), ttl_ns, kept_for)

    def broken(self, made: Made) -> LoadBroke:
        """The load fails: its error may be told for `negative_ttl`."""
        name = made.name.replace("the value", "the error")
        return LoadBroke(Made(made.key, name, made.number, self._negative, self._negative))

    def made_by_put(self, key: str) -> Made:
        """A value to put."""
        ttl_ns = _ns(self._ttl)
        number = self.number()
        return Made(key, f"the value put for {key} as number {number}", number, ttl_ns, ttl_ns + self._windows)

    def committed(self, step: Step) -> None:
        """A step, before anybody is told of it. It says when a value was settled, and from when its age counts."""
        match step.event:
            case LoadSucceeded(generation=generation, value=Made() as made):
                flight = step.before.flight
                if flight is not None and flight.generation == generation:
                    made.loaded_at, made.settled_at = flight.started_at, self.number()
            case LoadFailed(generation=generation, error=LoadBroke(made=made), is_answer=is_answer):
                made.loaded_at, made.settled_at = step.now, self.number()
                flight = step.before.flight if step.before.is_reachable else None
                made.replaces = is_answer and flight is not None and flight.generation == generation
            case Put(value=Made() as made):
                made.loaded_at, made.settled_at = step.now, self.number()
            case _:
                pass

    # What callers are told

    @contextmanager
    def calling(self, key: str, patience: float | None = None, *, is_inside_load: bool = False) -> Iterator[Caller]:
        """A caller is inside a lookup; `patience`: seconds after which it may leave."""
        caller = self.begins(key)
        self._waiting[caller.number] = caller
        caller.is_inside_load = is_inside_load
        if patience is not None:
            caller.may_leave, caller.deadline = True, caller.now + _ns(patience)
        try:
            yield caller
        finally:
            self._waiting.pop(caller.number, None)
            self._findings.count("lookups")

    def waiting(self) -> list[Caller]:
        """Those who are inside a lookup, the longest there first."""
        return list(self._waiting.values())

    def inside(self) -> int:
        """How many are inside a lookup."""
        return len(self._waiting)

    def answered(self, caller: Caller, made: Any, how: str | None = None) -> None:
        """The lookup returned this value, and said how it came by it."""
        self._complain(caller, self.wrong_in_answer(caller, made, how))

    def failed(self, caller: Caller, error: BaseException) -> None:
        """The lookup raised this error."""
        self._findings.answer(type(error).__name__)
        if isinstance(error, TimeoutError) and not isinstance(error, LoadTimeout):
            self._findings.fault("caller leaves")
        self._complain(caller, self.wrong_in_error(caller, error))
        if isinstance(error, LoadBroke):
            self.was_told(error.made)

    def left(self, caller: Caller) -> None:
        """The lookup was cancelled."""
        self._findings.fault("caller leaves")
        self._complain(caller, self.wrong_in_leaving(caller))

    def _complain(self, caller: Caller, wrong: Iterator[str]) -> None:
        for what in wrong:
            self._findings.complain(f"a caller of {caller.key} {what}")


def _ns(seconds: object) -> int:
    if not isinstance(seconds, int | float) or math.isinf(seconds):
        return NEVER
    return round(seconds * NANOSECONDS_PER_SECOND)
