"""The eye on the steps: every one is judged as it happens, inside the cache's lock, and none is kept."""

from __future__ import annotations

from typing import Any, Final, final

from herdless._trace.judge import Judge
from herdless._trace.words import describe
from herdless_core import StartLoad, Step
from herdless_verify.soak.findings import Findings
from herdless_verify.soak.foreign import Judging
from herdless_verify.soak.oracle import Oracle

REMEMBERED: Final = 10_000
"""Of so many flights whose loader was not called yet, and need never be, it is known that it may be."""


@final
class Watch:
    """What a cache is given as `observe=`."""

    def __init__(self, maxsize: int | None, oracle: Oracle, findings: Findings) -> None:
        self._judge: Final = Judge(maxsize)
        self._oracle: Final = oracle
        self._findings: Final = findings
        self._lock: Final = Judging()
        self._ordered: Final[dict[int, Any]] = {}
        self.is_strict = True
        """Whether each step begins where the last one of its key ended: not when one was broken off."""
        self._forgotten = 0
        """Flights up to this one are not known any more."""

    def __call__(self, key: Any, step: Step) -> None:
        """Judge one step."""
        self._findings.count("steps")
        try:
            complaint = self._judge.complaint(key, step) or self._of_waiters() if self.is_strict else None
        except Exception as error:  # noqa: BLE001  # steps that overlap can confuse the judge itself
            complaint = f"makes no sense after those before it: {error!r}"
        if complaint is not None:
            self._findings.complain(f"the step {describe(key, step)} {complaint}")
        for effect in step.effects:
            if isinstance(effect, StartLoad):
                self._order(key, effect.generation)
        self._oracle.committed(step)

    @property
    def is_judging(self) -> bool:
        """Whether this thread is inside of here."""
        return self._lock.is_here

    def _of_waiters(self) -> str | None:
        """Nobody is counted as waiting who is not inside a lookup: to leave takes a step, and so does an answer."""
        counted, inside = sum(self._judge.waiting().values()), self._oracle.inside()
        if counted > inside:
            return f"leaves {counted} callers counted as waiting, but only {inside} are there (WaiterCount)"
        return None

    def load_begins(self, key: str, generation: int) -> None:
        """The loader is called: for a flight that was ordered, and once (SingleFlight)."""
        with self._lock:
            is_ordered = self._ordered.pop(generation, None) == key or generation <= self._forgotten
        if not is_ordered:
            self._findings.complain(f"the loader of {key} is called twice for flight {generation} (SingleFlight)")

    def waiting(self) -> dict[int, int]:
        """Waiters by generation, of the flights that have any."""
        return self._judge.waiting()

    def held(self) -> int:
        """How many keys have a value, by the steps."""
        return self._judge.held()

    def _order(self, key: Any, generation: int) -> None:
        with self._lock:
            self._ordered[generation] = key
            if len(self._ordered) > REMEMBERED:
                self._forgotten = next(iter(self._ordered))
                del self._ordered[self._forgotten]
