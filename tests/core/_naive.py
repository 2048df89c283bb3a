"""A cache that only has to be right: the oracle of the stateful tests.

It is written from the promises, without states, events or effects: a value with the instants that bound its use, a
load with the list of who waits for it. What it says is compared with what the machine does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from herdless_core import Policy

FOREVER: Final = 10**30
MICROSECOND: Final = 1_000

Waiter = int


@dataclass(frozen=True)
class Rules:
    """A policy in whole microseconds; None: without end, or without limit."""

    ttl: int | None = None
    stale_while_revalidate: int = 0
    stale_if_error: int = 0
    negative_ttl: int = 0
    has_answers: bool = False
    """Whether a LookupError is an answer."""
    early_refresh: float | None = None
    load_timeout: int | None = None
    refresh_backoff: int = 0
    max_waiters: int | None = None

    def policy(self) -> Policy:
        """The same for the machine."""

        def duration(microseconds: int) -> timedelta:
            return timedelta(microseconds=microseconds)

        return Policy(
            ttl=math.inf if self.ttl is None else duration(self.ttl),
            stale_while_revalidate=duration(self.stale_while_revalidate),
            stale_if_error=duration(self.stale_if_error),
            negative_ttl=duration(self.negative_ttl),
            answers=LookupError if self.has_answers else None,
            early_refresh=self.early_refresh,
            load_timeout=None if self.load_timeout is None else duration(self.load_timeout),
            refresh_backoff=duration(self.refresh_backoff),
            max_waiters=self.max_waiters,
        )


@dataclass
class Held:
    """A value, or an error that is remembered, and how long it is of which use."""

    value: object
    is_error: bool
    fresh_until: int
    stale_until: int
    kept_until: int
    refresh_at: int


@dataclass
class Load:
    """A load, and who waits for it."""

    generation: int
    started_at: int
    due_at: int
    waiters: list[Waiter] = field(default_factory=list)


@dataclass(frozen=True)
class Said:
    """What a lookup, or those who waited, must be told."""

    value: object
    is_stale: bool = False


TIMEOUT: Final = "LoadTimeout"
"""Stands for the exception that the machine makes itself."""


class NaiveEntry:
    """One key."""

    def __init__(self, rules: Rules) -> None:
        self.rules: Final = rules
        self.held: Held | None = None
        self.load: Load | None = None
        self.told: dict[int, Said] = {}
        """What the waiters of each load were told, by generation."""

    # What callers ask for

    def get(self, now: int, generation: int, waiter: Waiter, *, reloads: bool = False) -> Said | Load | None:
        """The answer, the load that is waited for, or None: too many wait already. reloads: a load has to answer."""
        self.age(now)
        if self.load is not None and now >= self.load.due_at:
            self.fail(now, TIMEOUT, memorable=False)
        held = self.held
        is_answerable = held is not None and (now < held.fresh_until or now < max(held.stale_until, held.refresh_at))
        if held is not None and is_answerable and not reloads:
            if self.load is None and now >= held.refresh_at:
                self.start(now, generation)
            return Said(held.value, is_stale=now >= held.fresh_until)
        load = self.load or self.start(now, generation)
        if self.rules.max_waiters is not None and len(load.waiters) >= self.rules.max_waiters:
            return None
        load.waiters.append(waiter)
        return load

    def start(self, now: int, generation: int) -> Load:
        """Begin the one load."""
        timeout = self.rules.load_timeout
        self.load = Load(generation, now, FOREVER if timeout is None else now + timeout * MICROSECOND)
        return self.load

    def refresh(self, now: int, generation: int) -> None:
        """Begin a load unless there is one."""
        self.age(now)
        if self.load is None:
            self.start(now, generation)

    def put(self, now: int, value: object, age: int = 0) -> None:
        """Hold the value, so old already, and tell it to all who wait."""
        self.hold(value, now - age)
        self.settle(Said(value))

    def touch(self, now: int) -> bool:
        """Put again what is held, if it is a value."""
        self.age(now)
        if self.held is None or self.held.is_error:
            return False
        self.put(now, self.held.value)
        return True

    def invalidate(self) -> Load | None:
        """Hold nothing; the load goes on aside while callers wait for it."""
        load, self.held, self.load = self.load, None, None
        return load if load is not None and load.waiters else None

    def expire(self, now: int) -> None:
        """Make a fresh value stale, with its windows before it."""
        self.age(now)
        held = self.held
        if held is not None and now < held.fresh_until:
            held.fresh_until = held.refresh_at = now
            held.stale_until, held.kept_until = self._windows(now)
            if held.is_error:
                self.held = None

    def evict(self, now: int) -> None:
        """Hold the value no longer, unless somebody waits."""
        self.age(now)
        if self.held is not None and not (self.load is not None and self.load.waiters):
            self.held = self.load = None

    # What loads report

    def succeed(self, now: int, value: object, age: int = 0) -> None:
        """Hold what was loaded, and was so old at the start of the load."""
        assert self.load is not None
        self.age(now)
        self.hold(value, self.load.started_at - age)
        self.settle(Said(value))

    def give(self, value: object) -> None:
        """Tell what was loaded, and hold what was held."""
        self.settle(Said(value))

    def fail(self, now: int, error: object, *, memorable: bool) -> None:
        """Keep what is held and rest for a while; or tell the error, and perhaps remember it."""
        self.age(now)
        is_answer = self.rules.has_answers and isinstance(error, LookupError)
        held = None if is_answer else self.held
        if is_answer:
            self.held = None
        if self.rules.has_answers:
            memorable = is_answer
        if held is not None:
            held.refresh_at = max(held.refresh_at, now + self.rules.refresh_backoff * MICROSECOND)
            self.settle(Said(held.value, is_stale=now >= held.fresh_until))
            return
        if memorable and self.rules.negative_ttl:
            end = now + self.rules.negative_ttl * MICROSECOND
            self.held = Held(error, True, end, end, end, end)
        self.settle(Said(error))

    def answer_softly(self, now: int, waiter: Waiter) -> Said | None:
        """What is held, if anything, is told to one who has waited long; the load goes on."""
        self.age(now)
        assert self.load is not None
        if self.held is None:
            return None
        self.load.waiters.remove(waiter)
        return Said(self.held.value, is_stale=now >= self.held.fresh_until)

    def leave(self, now: int, waiter: Waiter, *, can_cancel: bool) -> None:
        """One waiter less; the last one takes the load along where nothing is held."""
        self.age(now)
        assert self.load is not None
        self.load.waiters.remove(waiter)
        if not self.load.waiters and self.held is None and can_cancel:
            self.load = None

    # What time does

    def age(self, now: int) -> None:
        """Forget what is of no use any more."""
        if self.held is not None and now >= self.held.kept_until:
            self.held = None

    def boundaries(self) -> set[int]:
        """The instants at which something changes."""
        instants = set()
        if self.held is not None:
            instants |= {self.held.fresh_until, self.held.stale_until, self.held.kept_until, self.held.refresh_at}
        if self.load is not None:
            instants.add(self.load.due_at)
        return {instant for instant in instants if instant < FOREVER}

    # Small things

    def hold(self, value: object, loaded_at: int) -> None:
        """Hold a value that was true at `loaded_at`."""
        ttl = self.rules.ttl
        if ttl is None:
            self.held = Held(value, False, FOREVER, FOREVER, FOREVER, FOREVER)
            return
        fresh_until = loaded_at + ttl * MICROSECOND
        early = self.rules.early_refresh
        refresh_at = fresh_until if early is None else loaded_at + int(ttl * MICROSECOND * early)
        self.held = Held(value, False, fresh_until, *self._windows(fresh_until), refresh_at)

    def settle(self, said: Said) -> None:
        """Tell it to all who wait; the load is over."""
        if self.load is not None:
            self.told[self.load.generation] = said
            self.load = None

    def _windows(self, fresh_until: int) -> tuple[int, int]:
        rules = self.rules
        stale_until = fresh_until + rules.stale_while_revalidate * MICROSECOND
        kept = max(rules.stale_while_revalidate, rules.stale_if_error)
        return stale_until, fresh_until + kept * MICROSECOND
