"""One stored entry and two instances over it, of which neither knows of the other: what the platform rules out only at
the next event. Whatever they do, what is stored is never older than what either of them has acknowledged.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from herdless._durable.alarm import LEASE
from herdless._durable.entry import DurableEntry
from herdless._durable.storage import EntryStorage
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Effects,
    Fresh,
    Policy,
    Settle,
    Stale,
    StartLoad,
    reply_of,
)
from tests.durable_objects.disk import Disk

POLICY: Final = Policy(ttl=10, stale_while_revalidate=10, stale_if_error=30, negative_ttl=5)
INSTANCES: Final = st.integers(0, 1)


class TwoInstances(RuleBasedStateMachine):
    """Versions of the truth are counted; a value IS the version that its load read, as JSON text."""

    loads = Bundle("loads")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_800_000_000 * NANOSECONDS_PER_SECOND
        self.truth = 0
        self.acknowledged = 0
        self.generations: set[int] = set()
        self.disk = Disk()
        self.was_refused = False
        self.instances = [self._started(), self._started()]

    def teardown(self) -> None:
        """The disk is closed."""
        self.disk.close()

    def _started(self) -> DurableEntry:
        return DurableEntry(EntryStorage(self.disk), "key", POLICY, self.now, keeps_warm=True)

    def _tick(self) -> int:
        """No two steps are in the same millisecond: two machines take longer than that to see each other's writes."""
        self.now += NANOSECONDS_PER_SECOND // 1000
        return self.now

    def _loads_in(self, instance: DurableEntry, effects: Effects) -> Any:
        """The loads that a step ordered; each with the truth as it was when it began."""
        ordered = [effect.generation for effect in effects if isinstance(effect, StartLoad)]
        assert not self.generations & set(ordered), "a generation was used twice"
        self.generations.update(ordered)
        return multiple(*((instance, generation, self.truth) for generation in ordered))

    def _acknowledge(self, index: int) -> None:
        """The change is durable, unless the instance says that it is not."""
        if self.instances[index].refusal is None:
            self.acknowledged = self.truth

    @rule(target=loads, index=INSTANCES)
    def get(self, index: int) -> Any:
        """A caller looks up."""
        instance = self.instances[index]
        if instance.hit(self._tick()) is not None:
            return multiple()
        effects = instance.get(self.now)
        reply_of(effects)  # raises where there is none
        return self._loads_in(instance, effects)

    @rule(target=loads, index=INSTANCES)
    def refresh(self, index: int) -> Any:
        """A caller wants it loaded."""
        return self._loads_in(self.instances[index], self.instances[index].refresh(self._tick()))

    @rule(load=consumes(loads), succeeds=st.booleans())
    def load_ends(self, load: tuple[DurableEntry, int, int], succeeds: bool) -> None:
        """A load comes back, in an instance that may be gone from the list, but not from the machine it runs on."""
        instance, generation, truth = load
        if succeeds:
            effects = instance.load_succeeded(generation, str(truth), self._tick())
        else:
            effects = instance.load_failed(generation, LookupError("no such user"), self._tick())
        assert [effect.generation for effect in effects if isinstance(effect, Settle)] == [generation]

    @rule(index=INSTANCES)
    def put(self, index: int) -> None:
        """The truth changes, and its new version is put."""
        self.truth += 1
        self.instances[index].put(str(self.truth), self._tick())
        self._acknowledge(index)

    @rule(index=INSTANCES)
    def invalidate(self, index: int) -> None:
        """The truth changes, and whoever changed it says so."""
        self.truth += 1
        self.instances[index].invalidate(self._tick())
        self._acknowledge(index)

    @rule(index=INSTANCES)
    def expire(self, index: int) -> None:
        """A caller wants it loaded again soon."""
        self.instances[index].expire(self._tick())

    @rule(index=INSTANCES)
    def restart(self, index: int) -> None:
        """The platform starts another instance; loads of the former one may still come back."""
        self.instances[index] = self._started()

    @rule(seconds=st.sampled_from([0.001, 1, 5, 10, 30, LEASE // NANOSECONDS_PER_SECOND]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += int(seconds * NANOSECONDS_PER_SECOND)

    @rule(target=loads, index=INSTANCES)
    def alarm(self, index: int) -> Any:
        """The alarm is delivered, whether or not it is due."""
        self.disk.alarm_at = None
        return self._loads_in(self.instances[index], self.instances[index].alarm(self._tick()))

    @invariant()
    def what_is_stored_is_not_older_than_what_was_acknowledged(self) -> None:
        """NoStaleSet, across instances."""
        stored = self.disk.stored(self.now)
        if isinstance(stored, (Fresh, Stale)) and isinstance(stored.value, str):
            assert int(stored.value) >= self.acknowledged

    @invariant()
    def what_is_stored_will_be_freed(self) -> None:
        """Nothing is stored without an alarm, or it would be there for ever."""
        if not self.disk.is_empty and not self.was_refused:
            assert self.disk.alarm_at is not None
            assert self.disk.alarm_at < NEVER


class RefusingDisk(TwoInstances):
    """The same, where the storage may refuse: what is told to be durable is, all the same."""

    @rule(skipped=st.integers(0, 6), refused=st.integers(1, 4))
    def refuse(self, skipped: int, refused: int) -> None:
        """Some of the next touches of the storage fail."""
        first = self.disk.touches + skipped
        self.disk.fails = lambda touch, _: first <= touch < first + refused
        self.was_refused = True


TestTwoInstances = TwoInstances.TestCase
TestRefusingDisk = RefusingDisk.TestCase


def test_failures_of_an_object_rest_by_the_rules_of_its_policy() -> None:
    """A back-off that grows, and what is remembered of which error, as in any cache."""
    now, disk = 1_800_000_000 * NANOSECONDS_PER_SECOND, Disk()
    policy = Policy(
        ttl=10,
        stale_while_revalidate=1_000,
        negative_ttl=lambda error: 5 if isinstance(error, LookupError) else 0,
        refresh_backoff=(2, 8),
    )
    entry = DurableEntry(EntryStorage(disk), "key", policy, now)

    def fail(error: Exception) -> None:
        generation = next(each.generation for each in entry.get(now) if isinstance(each, StartLoad))
        entry.load_failed(generation, error, now)

    fail(LookupError("no such row"))
    assert not any(isinstance(each, StartLoad) for each in entry.get(now))
    now += 5 * NANOSECONDS_PER_SECOND
    fail(OSError("down"))
    entry.put("1", now)
    now += 20 * NANOSECONDS_PER_SECOND
    for rest in (2, 4, 8, 8):
        fail(OSError("down"))
        now += rest * NANOSECONDS_PER_SECOND - 1
        assert not any(isinstance(each, StartLoad) for each in entry.get(now))
        now += 1
    disk.close()
