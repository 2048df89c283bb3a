"""One round: what its loaders do, what its callers do, and how it comes to its end. The same in every runtime."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic, monotonic_ns
from typing import Any, Final, final

from herdless.adapter import LOADING, BaseCache
from herdless_core import CacheClosed, Loaded, shown
from herdless_verify.soak.findings import Findings
from herdless_verify.soak.foreign import Foreign, Interrupted, Judging
from herdless_verify.soak.model import ANY_TIME, Caller, Made
from herdless_verify.soak.oracle import Oracle
from herdless_verify.soak.origin import MAX_GIVEN_UP, MAX_HUNG, Origin
from herdless_verify.soak.plan import KEYS, STUCK, LoadFault, LoadPlan, RoundPlan, Visit, next_visit, plan_load
from herdless_verify.soak.watch import Watch

OUTAGE_SECONDS: Final = 0.06
"""So long at most a load hangs during the storm; thrice its timeout, where it has one."""

POLL_SECONDS: Final = 0.001
LITTLE_PATIENCE_SECONDS: Final = 0.2


@final
class Scene:
    """A round under way. patience: seconds in which all that is to end in the calm must have ended."""

    def __init__(self, plan: RoundPlan, findings: Findings, patience: float) -> None:
        self.plan: Final = plan
        self.findings: Final = findings
        self._foreign_dice: Final = plan.dice("what foreign code does")
        self.oracle: Final = Oracle(plan, monotonic_ns, findings)
        self.watch: Final = Watch(plan.maxsize, self.oracle, findings)
        self.foreign: Final = Foreign(plan.injections, plan.dice("foreign code"), self._may_act, self._act)
        self.loop_thread: int | None = None
        """The only thread in which a load can be started; None: any. Given by the runtime."""
        self._patience: Final = patience
        self.is_calm = False
        self._is_last_call = False
        self._resting = 0
        self.inside = 0
        """Callers that have not gone home, but for those who are to wait for ever."""
        self.stuck = 0
        """Those."""
        self.callers_left = 0
        self.flights_left = 0
        self.stops_by: type[BaseException] | None = None
        """What a load raises that stops itself; None: none can. Given by the runtime, like the next one."""
        self.origin = Origin(threading.Event, self.most_hung)
        self._lock: Final = Judging()

    # Foreign code

    def _may_act(self) -> bool:
        is_judging = self._lock.is_here or self.oracle.is_judging or self.findings.is_judging or self.watch.is_judging
        return not (self.is_calm or self.is_over or is_judging)

    def _act(self, cache: BaseCache[str, Made, Any], who: str) -> None:
        """Foreign code changes the cache. No judge is told when that returned: inside the lock it is done later."""
        visit = next_visit(self._foreign_dice)
        self.findings.fault(f"change by a {who}")
        try:
            match visit.action:
                case "put":
                    made = self.oracle.made_by_put(visit.key)
                    made.made_until = ANY_TIME
                    cache.put(visit.key, made)
                case "expire":
                    cache.expire(visit.key)
                case "clear":
                    cache.clear()
                case "refresh" | "leave" if self.loop_thread in {None, threading.get_ident()}:
                    cache.refresh(visit.key)
                case "peek" | "get":
                    cache.peek(visit.key)
                case _:
                    cache.invalidate(visit.key)
        except Exception as error:  # noqa: BLE001  # whoever does this has nobody to raise it to
            if not (isinstance(error, CacheClosed) and self.oracle.is_closing):
                self.findings.complain(f"{visit.action} of {visit.key} by a {who} raised {error!r}")

    def clock(self) -> int:
        """The cache's clock."""
        self.foreign.touched("clock")
        return monotonic_ns()

    def interrupted(self) -> None:
        """An exception came in between in a caller: from now on no step need begin where the last one ended."""
        self.findings.fault("interrupt")
        self.foreign.interrupted()
        self.watch.is_strict = False
        self.oracle.is_interrupted = True

    # Loads

    def load_begins(self, key: str) -> tuple[Made, LoadPlan]:
        """The loader was called: once for each flight, inside of it."""
        running = LOADING.get()
        generation = 0 if running is None else running.generation
        if running is None or running.key != key:
            self.findings.complain(
                f"the loader is called for {key} inside of {running and shown(running.key)}'s flight"
            )
        else:
            self.watch.load_begins(key, generation)
        plan = plan_load(self.plan, generation)
        fault = "load hangs for ever" if key in STUCK else self._possible(plan.fault)
        if fault not in {None, "load ignores its cancellation"}:  # which is counted when it was cancelled
            self.findings.fault(str(fault))
        self.findings.count("loads")
        made = self.oracle.made_by_load(key, generation, plan.ttl, is_kept=plan.keep)
        made.last = self.foreign.finalizer()
        self.foreign.touched("loader")
        return made, replace(plan, fault=fault, seconds=0.0 if self.is_calm else plan.seconds)

    def _possible(self, fault: LoadFault | None) -> LoadFault | None:
        if self.origin.is_down:
            self.origin.may_hang()  # it does in any case, and is counted
            return "load hangs"
        if self.is_calm:
            return None
        if fault == "load hangs" and not self.origin.may_hang():
            return "load is slow"
        if fault == "load stops itself" and self.stops_by is None:
            return "load fails"
        return fault

    def load_ends(self, made: Made, plan: LoadPlan) -> Made | Loaded[Made]:
        """What the loader returns or raises in the end."""
        if plan.fault == "load fails":
            raise self.oracle.broken(made)
        if plan.fault == "load stops itself" and self.stops_by is not None:
            raise self.stops_by
        return made if plan.ttl is None and plan.keep else Loaded(made, ttl=plan.ttl, keep=plan.keep)

    # Callers

    def visits(self, number: int) -> Iterator[Visit]:
        """What one caller does: anything until the calm, then it rests until all do, and asks once for every key."""
        dice = self.plan.dice(f"caller {number}")
        while not self.is_calm and not self.is_over:
            visit = next_visit(dice)
            yield replace(visit, key=self.foreign.key(visit.key))
        with self._lock:
            self._resting += 1
        while not self._is_last_call and not self.is_over:
            yield Visit("rest", "", 0.0, POLL_SECONDS)
        if not self.oracle.is_closing:
            yield from (Visit("lookup", key, 0.0, 0.0) for key in dice.sample(KEYS, len(KEYS)))

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to be learnt: a promise was broken."""
        return self.findings.violations > 0

    @property
    def patience(self) -> float:
        """Seconds in which all that is to end in the calm must have ended; few where something is wrong already."""
        return min(self._patience, LITTLE_PATIENCE_SECONDS) if self.is_over else self._patience

    def change(self, cache: BaseCache[str, Made, Any], visit: Visit) -> None:
        """All that neither waits nor loads, beside `refresh`."""
        key = visit.key
        if visit.action not in {"peek", "rest"}:
            self.findings.fault(visit.action)
        try:
            match visit.action:
                case "put":
                    made = self.oracle.made_by_put(key)
                    made.last = self.foreign.finalizer()
                    with self.oracle.removing(key, made):
                        cache.put(key, made)
                case "invalidate":
                    with self.oracle.removing(key):
                        cache.invalidate(key)
                case "clear":
                    with self.oracle.removing(None):
                        cache.clear()
                case "expire":
                    cache.expire(key)
                case "refresh":
                    cache.refresh(key)
                case "peek":
                    self._peek(cache, key)
                case "rest":
                    pass
                case _:
                    raise AssertionError(visit.action)
        except Interrupted:
            self.interrupted()
        except Exception as error:  # noqa: BLE001  # whoever does this may be a thread with nobody to raise it to
            if not (isinstance(error, CacheClosed) and self.oracle.is_closing):
                self.findings.complain(f"{visit.action} of {key} raised {error!r}")

    def _peek(self, cache: BaseCache[str, Made, Any], key: str) -> None:
        with self.oracle.calling(key) as caller:
            made = cache.peek(key)
            if made is not None:
                self.oracle.answered(caller, made)

    def judge(self, caller: Caller, visit: Visit, answer: Any) -> None:
        """The lookup returned."""
        if visit.action == "lookup":
            self.oracle.answered(caller, answer.value, answer.outcome)
            if answer.age < 0:
                self.findings.complain(f"a lookup of {visit.key} says that its value is {answer.age} s old")
        else:
            self.oracle.answered(caller, answer)

    def came(self) -> None:
        """A caller begins its visits."""
        with self._lock:
            self.inside += 1

    def went(self) -> None:
        """It has gone home."""
        with self._lock:
            self.inside -= 1

    def stays(self, by: int) -> None:
        """So many more, or less, wait for a load that hangs for ever."""
        with self._lock:
            self.stuck += by

    # The phases; each yields for how many seconds to sleep

    def storm(self) -> Iterator[float]:
        """As long as the plan says, or until a promise is broken. Where loads are given up in time, the origin is down
        at the end: then nothing but that gets the callers out.
        """
        end = monotonic() + self.plan.storm_seconds
        while not self.is_over and (left := end - monotonic()) > 0:
            self.origin.recovers()  # not at the end: what hangs then is a matter for the calm
            if self._is_timed and left <= OUTAGE_SECONDS:
                self.origin.is_down = True
            yield min(left, OUTAGE_SECONDS)

    def begin_closing(self) -> bool:
        """Whether to close now, while callers come."""
        if self.plan.closing == "in the calm":
            return False
        self.oracle.is_closing = True
        if not self.is_cancelling and not self._is_timed:
            self.origin.recovers(for_good=True)  # close waits for loads, and these would hang for ever
            self.origin.end.set()
        return True

    @property
    def is_cancelling(self) -> bool:
        """Whether the cache is closed with `cancel=True`."""
        return self.plan.closing == "in the storm, cancelling"

    @property
    def most_hung(self) -> int:
        """So many loads may hang at a time."""
        return MAX_GIVEN_UP if self._is_timed else MAX_HUNG

    @property
    def _is_timed(self) -> bool:
        return self.plan.policy["load_timeout"] is not None

    def ending(self, cache: BaseCache[str, Made, Any]) -> Iterator[float]:
        """From the storm to the end of the calm. The cache may be closed already.

        What hangs for ever, or was or will be given up at its time, hangs on to the very end: all others must progress.
        """
        if not self._is_timed or self.oracle.is_closing:
            self.origin.recovers(for_good=True)  # else what hangs is to be given up at its time
        self.is_calm = True
        # Nobody asks for anything new, lest that wakes who would be forgotten else.
        yield from self._until(lambda: self._resting >= self.inside)
        self._complain_of_waiting(self.inside - self._resting, "after the storm")
        self.origin.is_down = False
        self.findings.fault("last call beside loads that hang", self.origin.hung)
        self._is_last_call = True
        yield from self._until(lambda: self.inside == 0)
        self._complain_of_waiting(self.inside, "after the last call")
        self.findings.fault("last call beside stuck callers", self.stuck)
        if not self._is_timed:  # else nobody need come by to give up what hangs, and takes up a refresh's room
            yield from self._until(lambda: not _others(cache))
            if _others(cache) and not self.is_over:
                self.findings.complain(f"{len(_others(cache))} loads do not end beside those that hang for ever")
        self.origin.recovers(for_good=True)
        self.origin.end.set()
        yield from self._until(lambda: self.stuck == 0)
        self._complain_of_waiting(self.stuck, "after the end of the loads that hung")
        yield from self._until(lambda: cache.stats().in_flight == 0)
        stats = cache.stats()
        self.flights_left = stats.in_flight
        self.findings.fault("eviction", stats.evictions)
        for outcome in ("hits", "stale_hits", "joins", "misses"):
            self.findings.answer(outcome.replace("_", " "), getattr(stats, outcome))
        self._look_at(cache)

    def _complain_of_waiting(self, count: int, when: str) -> None:
        if count > 0 and not self.is_over:
            self.callers_left = count
            told = ", ".join(sorted({caller.key for caller in self.oracle.waiting()} - set(STUCK)) or STUCK)
            self.findings.complain(f"{count} callers still wait {self.patience:g} s {when}: for {told}")

    def _until(self, holds: Callable[[], bool]) -> Iterator[float]:
        end = monotonic() + self.patience
        while not holds() and monotonic() < end:
            yield POLL_SECONDS

    def _look_at(self, cache: BaseCache[str, Made, Any]) -> None:
        """What must be so when everything has come to its end."""
        complain, stats = self.findings.complain, cache.stats()
        if stats.in_flight:
            complain(f"{stats.in_flight} flights are in the air {self.patience:g} s after the last caller went")
        elif cache._flights:
            complain(f"the adapter keeps {len(cache._flights)} flights that have ended")
        if not self.watch.is_strict:
            return
        waiting = self.watch.waiting()
        if waiting and not self.callers_left:
            complain(f"callers are counted as waiting when all have gone: {waiting} (waiters by generation)")
        maxsize, held = self.plan.maxsize, self.watch.held()
        if maxsize is not None and stats.size > maxsize:
            complain(f"{stats.size} values are held, more than maxsize={maxsize}")
        elif stats.size != held:
            complain(f"{stats.size} values are counted, but the steps left {held}")


def _others(cache: BaseCache[str, Made, Any]) -> list[object]:
    """The keys in flight, but for those whose loads hang for ever."""
    return [load.key for load in list(cache._flights.values()) if load.key not in STUCK]
