"""Sessions of several processes in any order, with replies lost, leases over, and a store that forgets.

Every step that is written is judged by the invariants; the record moves by such steps only; nobody is left waiting.
"""

from __future__ import annotations

import itertools
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from herdless_core import ABSENT, Failure, Get, Loaded, Policy, StartLoad, StoreDown, Value
from herdless_core._fleet import requests
from herdless_core._fleet import session as sessions
from herdless_core._fleet.requests import Load, Park, Read, Swap
from herdless_core.invariants import violated
from tests.core._fleet import LEASE, SECOND, Process, World

POLICIES: Final = (
    Policy(ttl=60),
    Policy(ttl=20, stale_while_revalidate=10, stale_if_error=30, early_refresh=0.5, refresh_backoff=3),
    Policy(ttl=5, negative_ttl=5, load_timeout=15),
    Policy(ttl=0),
)


class Fleet(RuleBasedStateMachine):
    """Up to five processes at once that want one key; each value is the truth of the moment at which its load began."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(POLICIES[0])
        self.running: list[Process] = []
        self.truth = 0
        self.invalidated_at = 0
        """The truth before which nothing may be answered to whoever asks from now on."""
        self.owed: dict[int, int] = {}
        self.truth_of: dict[int, int] = {}
        """With which truth a load began, by generation."""

    # What happens

    @rule(policy=st.sampled_from(POLICIES))
    @precondition(lambda self: self.world.raw is None and not self.running)
    def choose(self, policy: Policy) -> None:
        """Another policy, while nothing is there."""
        self.world.policy = policy

    @rule(owner=st.sampled_from("abc"))
    @precondition(lambda self: len(self.running) < 5)
    def look_up(self, owner: str) -> None:
        """A process asks."""
        self._add(self.world.process(owner))

    @rule(data=st.data(), change=st.sampled_from([sessions.expire, sessions.refresh]))
    @precondition(lambda self: len(self.running) < 5)
    def change(self, data: st.DataObject, change: sessions.Session) -> None:
        """A process expires or refreshes."""
        self._add(self.world.process("d", change))  # type: ignore[arg-type]  # one of two functions

    @rule(place=st.integers(0, 4))
    @precondition(lambda self: self.running)
    def go_on(self, place: int) -> None:
        """One request is carried out."""
        process = self._at(place)
        match process.request:
            case Read() | Swap():
                before = len(self.world.written)
                process.step()
                self._judge(before)
            case Park():
                process.reply(requests.Parked())
            case _:
                return
        self._note(process)

    @rule(place=st.integers(0, 4), is_done=st.booleans())
    @precondition(lambda self: self.running)
    def lose_the_reply(self, place: int, is_done: bool) -> None:
        """The store was asked, and nobody knows whether it has done it."""
        process = self._at(place)
        if not isinstance(process.request, (Read, Swap)):
            return
        if is_done and isinstance(process.request, Swap):
            before = len(self.world.written)
            self.world.swap(process.request)
            self._judge(before)
        try:
            process.fail()
        except StoreDown:
            self._end(process)
        else:
            self._note(process)

    @rule(place=st.integers(0, 4), how=st.sampled_from(["value", "kept by nobody", "error"]))
    @precondition(lambda self: self.running)
    def end_load(self, place: int, how: str) -> None:
        """A loader returns what was true when it began, or raises."""
        process = self._at(place)
        if not isinstance(process.request, Load):
            return
        flight = process.request.flight
        value = str(self.truth_of[flight.generation]).encode()
        results: dict[str, Loaded[bytes] | bytes | Failure] = {
            "value": value,
            "kept by nobody": Loaded(value, keep=False),
            "error": Failure(OSError(), None),
        }
        result = None if self.world.now >= flight.due_at else results[how]
        process.reply(requests.Ended(result, process.request.record, self.world.now, 0.0))
        self._note(process)

    @rule(place=st.integers(0, 4))
    @precondition(lambda self: self.running)
    def die(self, place: int) -> None:
        """A process is killed."""
        self._end(self._at(place))

    @rule(seconds=st.sampled_from([1, 3, 11]))
    def time_passes(self, seconds: int) -> None:
        """The leases of those that say nothing come to their end."""
        self.world.now += seconds * SECOND

    @rule()
    def invalidate(self) -> None:
        """The truth has changed, and whoever asks from now on must not be told the old one."""
        self.truth += 1
        self.world.forget()
        self.invalidated_at = self.truth

    @rule()
    def the_store_loses_it(self) -> None:
        """Memory was short there."""
        self.world.raw = None

    # What has to hold

    @invariant()
    def leads_somewhere(self) -> None:
        """A flight in the record has an end: a lease."""
        record = self.world.record
        assert (record.entry.flight is None) == (record.lease == 0)
        assert record.lease <= self.world.now + LEASE

    def teardown(self) -> None:
        """Whoever still asks is answered, if loads end and time passes."""
        for _ in range(60):
            for process in list(self.running):
                self.world.now += SECOND
                self.go_on(self.running.index(process))
                if process in self.running:
                    self.end_load(self.running.index(process), "value")
        assert self.running == []

    def _add(self, process: Process) -> None:
        self.running.append(process)
        self.owed[id(process)] = self.invalidated_at

    def _at(self, place: int) -> Process:
        return self.running[place % len(self.running)]

    def _end(self, process: Process) -> None:
        self.running.remove(process)

    def _judge(self, before: int) -> None:
        """The steps that a swap wrote: each is one of the machine's, and they hang together."""
        written = self.world.written[before:]
        for step, following in itertools.pairwise(written):
            assert step.after == following.before
        for step in written:
            assert violated(step) == []
            started = [effect.generation for effect in step.effects if isinstance(effect, StartLoad)]
            for generation in started:
                assert generation not in self.truth_of
                self.truth_of[generation] = self.truth
            if started and isinstance(step.event, Get) and step.before is ABSENT:
                assert step.before.flight is None  # SingleFlight

    def _note(self, process: Process) -> None:
        """A session that has come to its end: what it answers is not older than what was owed when it began."""
        if process.got is None:
            return
        self._end(process)
        got = process.got
        leads = got.leads
        if isinstance(got.outcome, Value) and not got.fenced and got.how != "loaded":
            assert int(got.outcome.value) >= self.owed[id(process)]  # NoStaleRead
        if leads is not None:
            self._add(self.world.process(process.owner, lambda terms: sessions.lead(terms, got.record, leads)))


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
