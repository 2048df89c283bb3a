"""One entry that outlives its instance: a keyspace of one key, and what of it is stored.

`DurableEntry` takes every step and writes what must be durable, all without waiting, and returns the effects; what is
left for the object to do is to run loads and to answer waiters. So whoever is woken finds everything written. A step
that is taken returns its effects, whatever the storage says; `refusal` tells what could not be written.

A generation is at least the time in milliseconds, so it is not used again after the storage was freed, and with it the
last one forgotten. Every load and every put claims one. Before each step the one that was claimed last is compared: if
it is not this instance's own, the platform has replaced this instance. It then adopts what is stored, so that its own
loads are superseded, and the machine itself drops what they bring.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from herdless._durable.alarm import due_at, lease, refresh_at
from herdless._durable.foreign import Watched
from herdless._durable.kept import Kept
from herdless._durable.load import DurableLoad
from herdless._durable.storage import NANOSECONDS_PER_MILLISECOND, EntryStorage
from herdless._durable.wire import NotStored
from herdless_core import (
    NEVER,
    Absent,
    Effects,
    Entry,
    Forget,
    Fresh,
    Keyspace,
    Loaded,
    Observer,
    Outcome,
    Policy,
    RunningLoad,
    Save,
    Stale,
    StartLoad,
    Stats,
    Value,
    age,
    read,
    value_in,
)


@final
class DurableEntry:
    """The entry of one object. All instants are integer nanoseconds since 1970; values are encoded.

    keeps_warm: whether the alarm refreshes the value, rather than only freeing what has expired.
    observe: called with the key and every step, once it is taken. What it raises is logged.
    gives_previous: whether the record of a load has the value that was kept before it.

    Of its methods only `get` raises, and only before the step.
    """

    def __init__(
        self,
        storage: EntryStorage,
        key: str,
        policy: Policy,
        now: int,
        *,
        keeps_warm: bool = False,
        observe: Observer | None = None,
        gives_previous: bool = False,
    ) -> None:
        self._kept: Final = Kept(storage, key)
        self._key: Final = key
        self._keeps_warm: Final = keeps_warm
        observe = None if observe is None else Watched(observe)
        self._keyspace: Final = Keyspace[str](
            policy, observe=observe, load_type=DurableLoad, gives_previous=gives_previous
        )
        # The keyspace makes them of this class alone.
        self.flights: Final[dict[int, DurableLoad]] = self._keyspace.flights  # type: ignore[assignment]
        """The loads in flight, by generation."""
        self.ended: Final[dict[int, DurableLoad]] = self._keyspace.ended  # type: ignore[assignment]  # as above
        """Those that have ended, until their waiters are answered: at once, or, where another instance has superseded
        them, when their report comes. Whoever answers them removes them.
        """
        self._generation = 0
        """The last one that this instance claimed or read; it outlives what is stored."""
        self._lease_until = 0
        self._hits = 0
        self._restore(self._kept.take_over(now), now)

    @property
    def refusal(self) -> NotStored | None:
        """Why something that the last step was to write is not durable; None where all is."""
        return self._kept.refusal

    # Requests

    def hit(self, now: int) -> Value | None:
        """The answer to a lookup that needs no step."""
        hit = read(self._keyspace.entry(self._key), now)
        if hit is not None:
            self._hits += 1
        return hit

    def get(self, now: int, loading: RunningLoad | None = None, *, reloads: bool = False) -> Effects:
        """A caller looks the key up, inside the load `loading` if any; the first effect is the Reply.

        reloads: whether a load has to answer, and not what is held. Raises ReentrantLoad when the load `loading` would
        wait for itself.
        """
        self._catch_up(now)
        return self._written(self._keyspace.get(self._key, now, loading, reloads=reloads), now)

    def peek(self, now: int) -> Outcome | None:
        """What a lookup would be answered with at once; starts nothing."""
        return self._keyspace.peek(self._key, now)

    def put(self, value: object, now: int, luck: float = 0.0) -> Effects:
        """A caller gives the value, or `Loaded(value, ...)`. now: the instant, in nanoseconds; luck: the random number
        for the jitter, 0 <= luck < 1.
        """
        self._catch_up(now)
        self._claim(self._next_generation(now))  # what cannot be claimed is not saved
        return self._written(self._keyspace.put(self._key, value, now, luck), now)

    def touch(self, given: Loaded[None] | None, now: int, luck: float = 0.0) -> Effects | None:
        """The value that is held begins a new life, as if it were put again; None where none is held. given: says what
        lifetime it gets; None: the policy's; now, luck: as for `put`.
        """
        self._catch_up(now)
        if value_in(self._keyspace.entry(self._key), now) is None:
            self._written((), now)
            return None
        self._claim(self._next_generation(now))  # as for `put`
        return self._written(self._keyspace.touch(self._key, given, now, luck) or (), now)

    def invalidate(self, now: int) -> Effects:
        """Nobody who asks from now on is answered with what was known or is being loaded."""
        self._catch_up(now)
        if self._keyspace.stats().in_flight:  # else the storage is freed, which tells another instance as much
            self._claim(self._next_generation(now))
        return self._written(self._keyspace.invalidate(self._key, now), now)

    def expire(self, now: int) -> Effects:
        """A fresh value is stale from now on."""
        self._catch_up(now)
        return self._written(self._keyspace.expire(self._key, now), now)

    def refresh(self, now: int) -> Effects:
        """A load is started in the background, unless one is in flight."""
        self._catch_up(now)
        return self._written(self._keyspace.refresh(self._key, now), now)

    def alarm(self, now: int) -> Effects:
        """The alarm went off, perhaps not for the first time: whatever is due is done, and the next one set."""
        self._kept.alarm_went_off()
        self._catch_up(now)
        entry = self._entry(now)
        if self._keeps_warm and entry.flight is None and now >= refresh_at(entry):
            return self.refresh(now)
        return self._written((), now)

    # Reports

    def load_succeeded(self, generation: int, value: object, now: int, luck: float = 0.0) -> Effects:
        """The loader returned the value, or `Loaded(value, ...)`; `luck` as for `put`."""
        self._catch_up(now)
        return self._written(self._keyspace.load_succeeded(generation, value, now, luck), now)

    def load_failed(self, generation: int, error: BaseException, now: int, luck: float = 0.0) -> Effects:
        """The loader ended by an exception; `luck` as for `put`, of a back-off that grows."""
        self._catch_up(now)
        return self._written(self._keyspace.load_failed(generation, error, now, luck), now)

    def deadline_passed(self, generation: int, now: int, luck: float = 0.0) -> Effects:
        """The timer of this flight went off; `luck` as for `load_failed`."""
        self._catch_up(now)
        return self._written(self._keyspace.deadline_passed(generation, now, luck), now)

    def waiter_left(self, generation: int, now: int, loading: RunningLoad | None) -> Effects:
        """A caller within the object, inside the load `loading` if any, waits no more. The load goes on."""
        self._catch_up(now)
        left = self._keyspace.waiter_left(generation, now, can_cancel=False, loading=loading)
        return self._written(left, now)

    def soft_timeout_passed(self, generation: int, now: int, loading: RunningLoad | None) -> Outcome | None:
        """A caller within the object, inside the load `loading` if any, has waited for `soft_timeout`: what is kept,
        with which it is answered; None where it waits on.
        """
        self._catch_up(now)
        kept = self._keyspace.soft_timeout_passed(generation, now, loading)
        self._written((), now)
        return kept

    # Questions

    @property
    def soft_timeout(self) -> int:
        """For how long a caller waits while a value is kept; in nanoseconds."""
        return self._keyspace.policy.soft_timeout

    @property
    def generation(self) -> int:
        """That of the last load."""
        return self._keyspace.generation

    def lendable(self, value: object, now: int) -> tuple[int, int]:
        """For how long a reader may keep this answer: its ttl and its stale_while_revalidate.

        As long as the entry itself still does. What is stale here is asked for again after the back-off, lest every
        lookup of a reader become one here; what is not held any more is not kept there either.
        """
        entry = self._entry(now)
        if not isinstance(entry, (Fresh, Stale)) or entry.value != value:
            return 0, 0
        if isinstance(entry, Stale):
            return self._keyspace.policy.refresh_backoff, 0
        return entry.fresh_until - now if entry.lifetime.ttl < NEVER else NEVER, entry.lifetime.stale_while_revalidate

    def fresh_for(self, answered: Value, now: int) -> int:
        """For how long this answer is fresh, in nanoseconds; 0 where it is stale, or is held no more."""
        return self._keyspace.fresh_for(self._key, answered, now)

    def stats(self) -> Stats:
        """What this instance has done since it was started."""
        return replace(self._keyspace.stats(hits=self._hits), maxsize=1)

    def _entry(self, now: int) -> Entry:
        return age(self._keyspace.entry(self._key), now)

    # Generations

    def _next_generation(self, now: int) -> int:
        return max(self._generation + 1, now // NANOSECONDS_PER_MILLISECOND)

    def _claim(self, generation: int) -> NotStored | None:
        self._generation = generation
        return self._kept.claim(generation)

    def _catch_up(self, now: int) -> None:
        """Before every step: what a successor has written counts, and no generation of its is used again."""
        if self._kept.begin_step():
            self._restore(self._kept.adopted(now), now)
        self._keyspace.skip_to(self._next_generation(now))

    def _restore(self, stored: Entry, now: int) -> None:
        """What is stored becomes this instance's entry. Flights of whoever wrote it are not this instance's."""
        self._generation = max(self._generation, self._kept.claimed)
        self._keyspace.restore(self._key, stored, now)

    # Storage and alarm

    def _written(self, effects: Effects, now: int) -> Effects:
        """The effects of a step, once what they order to be stored is, and the alarm set."""
        self._kept.make_up()
        for effect in effects:
            match effect:
                case StartLoad():
                    effects = self._started(effect, effects, now)
                case Save():
                    self._kept.save(self._keyspace.entry(self._key))
                case Forget():
                    self._kept.forget()
                case _:
                    pass
        self._keyspace.started.clear()  # nothing is to be filled in
        self._keyspace.leaving.clear()
        self._look_ahead(now)
        return effects

    def _started(self, order: StartLoad, effects: Effects, now: int) -> Effects:
        """The effects, once the load's generation is durable; where it cannot be, the load has failed instead."""
        refusal = self._claim(order.generation)
        if refusal is None:
            self._lease_until = now + lease(self._keyspace.policy)
            return effects
        ended = self._keyspace.load_failed(order.generation, refusal, now)
        return (*(effect for effect in effects if effect is not order), *ended)

    def _look_ahead(self, now: int) -> None:
        """Set the alarm for what comes next, or free what is not needed."""
        in_flight, entry = self._keyspace.stats().in_flight, self._entry(now)
        if in_flight:
            if self._lease_until <= now:
                self._lease_until = now + lease(self._keyspace.policy)
            self._kept.wake_at(self._lease_until)
        elif isinstance(entry, Absent):
            self._kept.free()
        else:
            self._kept.wake_at(due_at(entry, keeps_warm=self._keeps_warm))
