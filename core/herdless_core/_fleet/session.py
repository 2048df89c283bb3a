"""What one process does about one key of a fleet: a generator that asks for what it needs, and does no I/O itself.

A session yields requests, is sent a reply to each, and returns. The adapter of every runtime carries the same requests
out, each by the means of its runtime:

    request  carried out by                                       reply
    Read     reading the record                                   Seen
    Swap     writing it if the one that was seen is still there   Seen, with `won`
    Park     waiting until something is told of the key           Parked
    Load     calling the loader, the lease being renewed          Ended
    Lead     carrying out `lead` behind the caller                Got, or None where it is too late for the caller

Where the store cannot be asked, the adapter throws StoreDown into the session, at the request that failed.

The entry in the record is stepped by `herdless_core.transition`, and by nothing else; a step counts when its swap is
won. Leases need no state of their own. The generation of a flight is its lease's number: the machine stores nothing for
another generation, so a holder that was taken for dead and wakes late is superseded like any other load (fenced). A
lease that is over is the machine's `Restarted`: whoever ran the flight is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, final

from herdless_core._durations import NEVER, after
from herdless_core._effects import Answer, Effects, Outcome, Settle, StartLoad, Value, reply_of
from herdless_core._errors import LoadTimeout, StoreDown
from herdless_core._events import (
    DeadlinePassed,
    Event,
    Expire,
    Get,
    LoadFailed,
    Refresh,
    Restarted,
    SoftTimeoutPassed,
    WaiterLeft,
    put_of,
    success_of,
)
from herdless_core._fleet.record import NANOSECONDS_PER_MILLISECOND, Record, Settled, outcome_of
from herdless_core._fleet.requests import (
    Claim,
    Ended,
    Lead,
    Load,
    Park,
    Parked,
    Read,
    Request,
    Seen,
    Swap,
)
from herdless_core._loaded import Loaded, is_kept
from herdless_core._machine import Step, age, peek, too_late, transition
from herdless_core._policy import Policy
from herdless_core._states import ABSENT, Cause, Entry, Evicted, Failure, Flight
from herdless_core._streaks import failures_after, is_failure

Draw: TypeAlias = Callable[[int], int]
"""Gives an integer of so many random bits."""

Found: TypeAlias = Literal["fetched", "joined", "loaded"]
"""How a session came to its outcome: it lay in the store, somebody else's load brought it, or its own."""

Exchanged: TypeAlias = Callable[[Entry, int], Loaded[bytes] | bytes | None]
"""From the entry, as old as it is now, and that instant to the value that takes its place."""

LUCK_BITS: Final = 53
"""So many make a random number for the jitter."""

GENERATION_BITS: Final = 21
"""So many random bits keep apart the flights that start within one millisecond."""


@final
@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every session of one cache in one process."""

    policy: Policy
    lease: int
    """For how long a holder that says nothing is believed, in nanoseconds."""
    owner: str
    draw: Draw


@final
@dataclass(frozen=True, slots=True)
class Got:
    """What a session has come to. A value in it is encoded."""

    outcome: Outcome | None
    """None: of a session that answers nobody."""
    record: Record
    """What lay in the store when that was decided."""
    now: int
    how: Found
    fenced: bool = False
    """Whether nothing of it is to be kept, here or anywhere: another took the flight's place."""
    leads: Flight | None = None
    """The flight that this process has claimed, and that is to be led behind the answer by `lead`."""
    is_soft: bool = False
    """Whether it is the value that is kept, since `soft_timeout` passed before a load ended."""


Session: TypeAlias = Generator[Request, Any, Got]

Asks: TypeAlias = Callable[[Terms, bytes], Session]
"""Begins the session of a lookup, of its terms and the version of a record that could not be decoded."""


def ask(terms: Terms, unreadable: bytes = b"") -> Session:
    """Get the key's value from wherever it is, or load it.

    unreadable: the version of a record whose value could not be decoded. It is taken for Absent.
    """
    awaited = gone = soft_at = 0
    seen: Seen = yield Read()
    while True:
        record, now = seen.record, seen.now
        if unreadable and record.version == unreadable:
            record = replace(record, entry=ABSENT, settled=None)
        outcome = record.outcome_of(awaited) if awaited else None
        if outcome is not None:
            return Got(outcome, record, now, "joined")
        move = _Move(terms, record, now, gone)
        if awaited and awaited == move.generation and now >= move.due_at:
            move.give_up(awaited)
            seen = yield move.swap()
            continue
        generation = move.next_generation()
        effects = move.take(Get(generation))
        reply = reply_of(effects)
        kept = None if isinstance(reply, Answer) else move.kept_softly()
        soft_at = soft_at or after(now, terms.policy.soft_timeout)
        if not _starts_load(effects):
            if isinstance(reply, Answer):
                return Got(reply.outcome, record, now, "joined" if awaited else "fetched")
            if kept is not None and now >= soft_at:
                return Got(kept, record, now, "joined", is_soft=True)
            awaited = move.generation
            parked: Parked = yield Park(record, min(record.lease, move.due_at, NEVER if kept is None else soft_at))
            gone = awaited if parked.owner_is_gone else 0
            seen = yield Read()
            continue
        seen = yield move.swap(claim=True)
        if seen.record.generation != generation:
            continue  # another was faster, and what it wrote is looked at
        flight = seen.record.entry.flight
        assert flight is not None  # noqa: S101  # it has the generation
        if isinstance(reply, Answer):
            return Got(reply.outcome, seen.record, seen.now, "joined" if awaited else "fetched", leads=flight)
        if kept is None:
            return (yield from lead(terms, seen.record, flight))
        led: Got | None = yield Lead(seen.record, flight, soft_at)
        return led or Got(kept, seen.record, seen.now, "joined", is_soft=True)


def reload(terms: Terms, unreadable: bytes = b"") -> Session:
    """Get the value of a load that begins after this is called, here or elsewhere; one that is in flight by then is
    waited for first. Where such a load of another process failed, and a value that is kept covers that, this one loads.

    unreadable: the version of a record whose value could not be decoded.
    """
    awaited = gone = 0
    kept: Outcome | None = None
    seen: Seen = yield Read()
    since = seen.record.last_generation
    while True:
        record, now = seen.record, seen.now
        outcome = record.outcome_of(awaited) if awaited > since and record.version != unreadable else None
        if outcome is not None and not _is_same(outcome, kept):
            return Got(outcome, record, now, "joined")
        move = _Move(terms, record, now, gone)
        if move.generation and now >= move.due_at:
            move.give_up(move.generation)
        if move.generation:
            awaited, kept = move.generation, outcome_of(record.entry)
            parked: Parked = yield Park(record, min(record.lease, move.due_at))
            gone = awaited if parked.owner_is_gone else 0
            seen = yield Read()
            continue
        generation = move.next_generation()
        move.take(Refresh(generation))
        seen = yield move.swap(claim=True)
        if seen.record.generation != generation:
            continue  # another was faster, and that one's load began after this call
        flight = seen.record.entry.flight
        assert flight is not None  # noqa: S101  # it has the generation
        return (yield from lead(terms, seen.record, flight, is_covered=False))


def lead(terms: Terms, record: Record, flight: Flight, *, is_covered: bool = True) -> Session:
    """Load what was claimed, and store what comes of it, unless it was superseded.

    record: as it was when the flight was claimed; flight: the one that is claimed; is_covered: False: whoever asked is
    told of a load that failed also where a value that is kept covers that for others.
    """
    ended: Ended = yield Load(record, flight)
    event = _end_of(terms, flight, ended)
    failure = None if is_covered else _failure_of(ended)
    not_before = flight.due_at if ended.result is None else ended.now  # the adapter's clock is not the store's
    record, now = ended.record, max(ended.now, not_before)
    while record.generation == flight.generation:
        move = _Move(terms, record, now, lease_counts=False)
        effects = move.take(event, _policy_of(terms, ended, record.failures))
        swap = move.swap()
        try:
            seen: Seen = yield swap
        except StoreDown:
            break  # nobody can tell whether it is still ours
        if seen.won or seen.record.version == swap.after.version:
            return Got(failure or _settled(effects, flight.generation), swap.after, seen.now, "loaded")
        record, now = seen.record, max(seen.now, not_before)
    # Of the flight of an entry that was removed: whoever waits is answered, and nothing is stored (NoStaleSet).
    _, effects = transition(Evicted(Cause.INVALIDATED, flight), event, now, terms.policy)
    return Got(failure or _settled(effects, flight.generation), record, now, "loaded", fenced=True)


def leave(terms: Terms, claim: Claim) -> Session:
    """Nobody waits in this process any more for the load that it leads, which was cancelled.

    A claim that was broken off may be on its way still, and come later than this. So where what it expects lies there
    yet, that is written anew, and kept for as long as the claim's lease would last.
    """
    seen = Seen(claim.record, claim.flight.started_at)
    while not seen.won:
        move = _Move(terms, seen.record, seen.now, lease_counts=False)
        is_claimed = move.generation == claim.flight.generation
        if is_claimed:
            move.take(WaiterLeft(claim.flight.generation, can_cancel=True))
            if move.generation == claim.flight.generation:
                move.take(Restarted())  # a refresh: the value stays, and whoever looks next loads it again
        elif claim.before is None or claim.before.token != seen.record.token:
            break
        swap = move.swap()
        seen = yield swap if is_claimed else replace(swap, keep=max(swap.keep, terms.lease))
    return Got(None, seen.record, seen.now, "loaded")


def put(terms: Terms, value: Loaded[bytes] | bytes, luck: float) -> Session:
    """Store a value. luck: the random number for the jitter, 0 <= luck < 1."""
    event = put_of(value, terms.policy.lifetime_for(value, luck))
    return (yield from _change(terms, lambda _: event))


def expire(terms: Terms) -> Session:
    """Make a fresh value stale."""
    return (yield from _change(terms, lambda _: Expire()))


def refresh(terms: Terms) -> Session:
    """Claim a load that nobody waits for, unless one is in flight; it is to be led by whoever asked."""
    return (yield from _change(terms, Refresh, drops=False))


def look() -> Session:
    """What a lookup would be answered with at once, or no outcome. Loads nothing, and writes nothing."""
    seen: Seen = yield Read()
    return Got(peek(seen.record.entry, seen.now), seen.record, seen.now, "fetched")


def exchange(terms: Terms, change: Exchanged) -> Session:
    """Put what `change` makes of what lies there, and nothing where it makes nothing: then there is no outcome.

    change: may be called several times; the last time counts.
    """
    seen: Seen = yield Read()
    while True:
        value = change(age(seen.record.entry, seen.now), seen.now)
        if value is None:
            return Got(None, seen.record, seen.now, "fetched")
        move = _Move(terms, seen.record, seen.now)
        move.take(put_of(value, terms.policy.lifetime_for(value, 0.0)))
        swap = move.swap(drops=True)
        seen = yield swap
        if seen.won or seen.record.version == swap.after.version:  # as below
            return Got(outcome_of(seen.record.entry), seen.record, seen.now, "loaded")


def _change(terms: Terms, event_of: Callable[[int], Event], *, drops: bool = True) -> Session:
    seen: Seen = yield Read()
    while True:
        move = _Move(terms, seen.record, seen.now)
        is_load = _starts_load(move.take(event_of(move.next_generation())))
        if not move.has_changed:
            return Got(None, seen.record, seen.now, "fetched")
        swap = move.swap(claim=is_load, drops=drops)
        seen = yield swap
        if not seen.won and seen.record.version != swap.after.version:
            continue  # another was faster; a version of ours would say that only the reply was lost
        flight = seen.record.entry.flight if is_load else None
        return Got(outcome_of(seen.record.entry), seen.record, seen.now, "loaded", leads=flight)


@final
class _Move:
    """Steps that are taken one after the other, to be written by one swap."""

    def __init__(self, terms: Terms, record: Record, now: int, gone: int = 0, *, lease_counts: bool = True) -> None:
        """gone: the generation of a flight whose owner is known to be gone; lease_counts: False for the owner itself,
        whose lease may be over while nobody has taken its place.
        """
        self._terms: Final = terms
        self._record: Final = record
        self._now: Final = now
        self._steps: Final[list[Step]] = []
        self._settled = record.settled
        self._failures = record.failures
        self._entry: Entry = record.entry
        flight = record.entry.flight
        is_over = lease_counts and now >= record.lease
        if flight is not None and (is_over or flight.generation == gone):
            self.take(Restarted())

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to write."""
        return self._entry is not self._record.entry

    @property
    def generation(self) -> int:
        """Of the flight by now; 0 where there is none."""
        flight = self._entry.flight
        return 0 if flight is None else flight.generation

    @property
    def due_at(self) -> int:
        """Of the flight by now, which there is."""
        flight = self._entry.flight
        assert flight is not None  # noqa: S101  # who asks has joined it
        return flight.due_at

    def next_generation(self) -> int:
        """One that no other process draws, and greater than those before."""
        drawn = (self._now // NANOSECONDS_PER_MILLISECOND << GENERATION_BITS) + self._terms.draw(GENERATION_BITS)
        return max(drawn, self._record.last_generation + 1)

    def take(self, event: Event, policy: Policy | None = None) -> Effects:
        """One step of the machine."""
        policy = self._terms.policy if policy is None else policy
        after, effects = transition(self._entry, event, self._now, policy)
        self._steps.append(Step(self._entry, event, self._now, policy, after, effects))
        for effect in effects:
            if isinstance(effect, Settle):
                self._settled = _settlement(effect, after)
        failed = is_failure(event) and after.flight is None
        self._failures = failures_after(self._failures, age(self._entry, self._now), after, failed=failed)
        self._entry = after
        return effects

    def give_up(self, generation: int) -> None:
        """The flight is overdue."""
        policy, luck = self._terms.policy, self._terms.draw(LUCK_BITS) / 2**LUCK_BITS
        self.take(DeadlinePassed(generation), policy.after_failure(too_late(policy), self._failures, luck))

    def kept_softly(self) -> Outcome | None:
        """What a caller who has waited for `soft_timeout` is answered with, if that may be."""
        if self._terms.policy.soft_timeout >= NEVER:
            return None
        _, effects = transition(self._entry, SoftTimeoutPassed(self.generation), self._now, self._terms.policy)
        return next((effect.outcome for effect in effects if isinstance(effect, Answer)), None)

    def swap(self, *, claim: bool = False, drops: bool = False) -> Swap:
        """The request that writes it. claim: whether this process takes the lease of the flight."""
        has_flight = self._entry.flight is not None
        lease = (self._now + self._terms.lease) if claim else self._record.lease
        lease = lease // NANOSECONDS_PER_MILLISECOND * NANOSECONDS_PER_MILLISECOND if has_flight else 0
        owner = self._terms.owner if claim else self._record.owner
        version = self._terms.draw(64).to_bytes(8)
        after = Record(
            ABSENT if isinstance(self._entry, Evicted) else self._entry,
            lease,
            owner if has_flight else "",
            self._settled,
            version,
            token=Record.token_of(version, lease),
            failures=self._failures,
        )
        return Swap(self._record, after, after.keep(self._now), drops, tuple(self._steps))


def _end_of(terms: Terms, flight: Flight, ended: Ended) -> Event:
    result = ended.result
    if result is None:
        return DeadlinePassed(flight.generation)
    if isinstance(result, Failure):
        return LoadFailed(flight.generation, result.error, ended.is_answer)
    lifetime = terms.policy.lifetime_for(result, ended.luck) if is_kept(result) else None
    return success_of(flight.generation, result, lifetime)


def _policy_of(terms: Terms, ended: Ended, failures: int) -> Policy:
    """By which the end of a load is reported. failures: how many came before it in a row."""
    if ended.result is None:
        return terms.policy.after_failure(too_late(terms.policy), failures, ended.luck)
    if isinstance(ended.result, Failure):
        return terms.policy.after_failure(ended.result.error, failures, ended.luck)
    return terms.policy


def _failure_of(ended: Ended) -> Failure | None:
    if ended.result is None:
        return Failure(LoadTimeout("the load is overdue"), None)
    return ended.result if isinstance(ended.result, Failure) else None


def _is_same(outcome: Outcome, kept: Outcome | None) -> bool:
    """Whether this is the value that was there before the load."""
    if not isinstance(outcome, Value) or not isinstance(kept, Value):
        return False
    return outcome.loaded_at == kept.loaded_at and bool(outcome.value == kept.value)


def _settlement(settle: Settle, after: Entry) -> Settled:
    """What a record says of a flight that has ended: the value is written once where the entry holds the same."""
    held, outcome = outcome_of(after), settle.outcome
    is_held = isinstance(held, Value) and isinstance(outcome, Value) and held.value is outcome.value
    return Settled(settle.generation, None if is_held else outcome)


def _settled(effects: Effects, generation: int) -> Outcome | None:
    found = (e.outcome for e in effects if isinstance(e, Settle) and e.generation == generation)
    return next(found, None)


def _starts_load(effects: Effects) -> bool:
    return any(isinstance(effect, StartLoad) for effect in effects)
