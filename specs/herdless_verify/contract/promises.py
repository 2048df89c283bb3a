"""Every promise of the design, by its name, kept by every runtime."""

from __future__ import annotations

import pytest

from herdless._testing._clock import VirtualClock
from herdless_core import Absent, Evicted, Fresh, Loaded, LoadTimeout, Pending, StartLoad, TooManyWaiters
from herdless_verify.contract.world import World, outcome_of


def started(w: World) -> list[int]:
    """The generations of all flights, in their order."""
    return [e.generation for _, step in w.steps for e in step.effects if isinstance(e, StartLoad)]


async def test_single_flight(w: World) -> None:
    """SingleFlight: however many ask while a load is in flight, it stays one load."""
    await w.open()
    early = [w.get("k") for _ in range(20)]
    await w.settle()
    late = [w.get("k") for _ in range(20)]
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert [caller.value for caller in early + late] == [1] * 40
    assert len(w.loads) == 1


async def test_single_flight_of_refreshes(w: World) -> None:
    """SingleFlight: callers who are served a stale value start one refresh between them."""
    cache = await w.open(ttl=10, stale_while_revalidate=10)
    await w.fill("k", 1)
    await w.advance(10)
    callers = [w.get("k") for _ in range(20)]
    cache.refresh("k")
    await w.settle()
    assert [caller.value for caller in callers] == [1] * 20
    assert len(w.loads) == 2


async def test_keys_do_not_wait_for_each_other(w: World) -> None:
    """SingleFlight is of a key: a slow load of another one holds up nobody."""
    await w.open()
    slow = w.get("slow")
    await w.settle()
    await w.fill("quick", 1)
    assert not slow.is_done


async def test_no_stale_set_after_invalidate(w: World) -> None:
    """NoStaleSet: a value read before an invalidation is not stored after it."""
    cache = await w.open()
    caller = w.get("k")
    await w.settle()
    cache.invalidate("k")
    w.load.succeed("old")
    await w.settle()
    assert caller.value == "old"
    assert cache.peek("k") is None


async def test_no_stale_set_after_put(w: World) -> None:
    """NoStaleSet: a load that was overtaken by `put`, and does not heed its cancellation, does not overwrite it."""
    cache = await w.open()
    w.ignores_cancellation = True
    caller = w.get("k")
    await w.settle()
    cache.put("k", "put")
    w.load.succeed("old")
    await w.settle()
    assert caller.value == "put"
    assert cache.peek("k") == "put"


async def test_no_stale_set_after_deadline(w: World) -> None:
    """NoStaleSet: a load that ends after its `load_timeout` stores nothing."""
    cache = await w.open(load_timeout=5)
    w.ignores_cancellation = True
    caller = w.get("k")
    await w.settle()
    await w.advance(5)
    w.load.succeed("late")
    await w.settle()
    assert isinstance(caller.error, LoadTimeout)
    assert cache.peek("k") is None


async def test_no_stale_set_after_eviction(w: World) -> None:
    """NoStaleSet: the refresh of an entry that capacity took stores nothing."""
    cache = await w.open(maxsize=1)
    w.ignores_cancellation = True
    await w.fill("victim", 1)
    cache.refresh("victim")
    await w.settle()
    refresh = w.load
    cache.put("other", 2)
    assert "victim" not in cache
    refresh.succeed("late")
    await w.settle()
    assert "victim" not in cache


async def test_no_stale_set_after_clear(w: World) -> None:
    """NoStaleSet: `clear` supersedes all loads in flight."""
    cache = await w.open()
    callers = [w.get(key) for key in "ab"]
    await w.settle()
    cache.clear()
    for load in w.loads:
        load.succeed("old")
    await w.settle()
    assert [caller.value for caller in callers] == ["old", "old"]
    assert len(cache) == 0


async def test_no_stale_read(w: World) -> None:
    """NoStaleRead: who asks after an invalidation is not answered by a load that began before it."""
    cache = await w.open()
    before = w.get("k")
    await w.settle()
    cache.invalidate("k")
    after = w.get("k")
    await w.settle()
    assert len(w.loads) == 2
    w.loads[0].succeed("old")
    await w.settle()
    assert before.value == "old"
    assert not after.is_done
    w.loads[1].succeed("new")
    await w.settle()
    assert after.value == "new"


async def test_no_stale_read_of_a_value(w: World) -> None:
    """NoStaleRead: an invalidated value is not served, not even where stale values may be."""
    cache = await w.open(ttl=10, stale_while_revalidate=100, stale_if_error=100)
    await w.fill("k", "old")
    cache.invalidate("k")
    caller = w.get("k")
    await w.settle()
    assert not caller.is_done
    w.load.fail(OSError("down"))
    await w.settle()
    assert isinstance(caller.error, OSError)


async def test_answered_once(w: World) -> None:
    """AnsweredOnce: what comes after the answer (a late result, a deadline) does not answer anybody again."""
    cache = await w.open(load_timeout=5)
    w.ignores_cancellation = True
    callers = [w.get("k") for _ in range(3)]
    await w.settle()
    cache.put("k", "put")
    await w.settle()
    w.load.succeed("late")
    await w.advance(10)  # `Caller` asserts that it is answered once
    assert [caller.value for caller in callers] == ["put"] * 3


@pytest.mark.parametrize("error", [None, OSError("down")], ids=["value", "error"])
async def test_same_outcome(w: World, error: Exception | None) -> None:
    """SameOutcome: those who wait for one load get one outcome: the same value, or each the error, as its own."""
    await w.open()
    callers = [w.get("k") for _ in range(3)]
    await w.settle()
    value = object()
    if error is None:
        w.load.succeed(value)
    else:
        w.load.fail(error)
    await w.settle()
    assert [repr(caller.error) for caller in callers] == [repr(error)] * 3
    assert error is not None or not [caller for caller in callers if caller.value is not value]


async def test_no_doomed_join_after_the_last_waiter(w: World) -> None:
    """NoDoomedJoin: a load whose cancellation is on its way, and takes its time, is joined by nobody."""
    await w.open()
    w.ignores_cancellation = True
    sole = w.get("k", leaves=1)
    await w.settle()
    await w.leave(sole)
    newcomer = w.get("k")
    await w.settle()
    assert len(w.loads) == 2
    w.loads[0].fail(OSError("doomed"))
    w.loads[1].succeed("new")
    await w.settle()
    assert newcomer.value == "new"


async def test_no_doomed_join_after_the_deadline(w: World) -> None:
    """NoDoomedJoin: a load that is past its `load_timeout` is joined by nobody."""
    await w.open(load_timeout=5)
    w.ignores_cancellation = True
    w.get("k")
    await w.settle()
    await w.advance(5)
    newcomer = w.get("k")
    await w.settle()
    w.loads[1].succeed("new")
    await w.settle()
    assert newcomer.value == "new"


async def test_hit_age(w: World) -> None:
    """HitAge: a hit is younger than ttl, counted from the START of its load, to the nanosecond."""
    await w.open(ttl=10)
    caller = w.lookup("k")
    await w.settle()
    await w.advance(4)
    w.load.succeed(1)
    await w.settle()
    assert (caller.value.how, caller.value.age) == ("loaded", 4)
    await w.advance(6 - 1e-9)
    hit = w.lookup("k")
    await w.settle()
    assert hit.value.how == "hit"
    assert hit.value.age < 10
    await w.advance(1e-9)
    w.lookup("k")
    await w.settle()
    assert len(w.loads) == 2


async def test_stale_hit_age(w: World) -> None:
    """HitAge: a stale hit is younger than ttl + stale_while_revalidate, and its refresh is in flight."""
    cache = await w.open(ttl=10, stale_while_revalidate=5)
    await w.fill("k", 1)
    await w.advance(15 - 1e-9)
    stale = w.lookup("k")
    await w.settle()
    assert stale.value.how == "stale"
    assert stale.value.age < 15
    assert cache.stats().in_flight == 1
    await w.advance(1e-9)
    waiting = w.lookup("k")
    await w.settle()
    w.load.succeed(2)
    await w.settle()
    assert (waiting.value.value, waiting.value.how) == (2, "joined")


async def test_stale_if_error(w: World) -> None:
    """StaleIfError: a failing load does not replace a value that is still usable, and no caller sees the error."""
    await w.open(ttl=10, stale_if_error=100, refresh_backoff=1)
    await w.fill("k", 1)
    await w.advance(50)
    caller = w.lookup("k")
    await w.settle()
    assert not caller.is_done
    w.load.fail(OSError("down"))
    await w.settle()
    assert (caller.value.value, caller.value.how) == (1, "stale")


async def test_stale_if_error_ends(w: World) -> None:
    """StaleIfError: past its window the value is of no use any more, and callers see the error."""
    await w.open(ttl=10, stale_if_error=100)
    await w.fill("k", 1)
    await w.advance(110)
    caller = w.get("k")
    await w.settle()
    w.load.fail(OSError("down"))
    await w.settle()
    assert isinstance(caller.error, OSError)


async def test_answers_replace(w: World) -> None:
    """AnswersReplace: an error that is an answer takes the value's place; an outage does not, before it or after."""
    cache = await w.open(ttl=10, stale_if_error=1_000, refresh_backoff=1, answers=LookupError)
    await w.fill("k", 1)
    await w.advance(50)
    during_an_outage = w.get("k")
    await w.settle()
    w.load.fail(OSError("down"))
    await w.settle()
    assert during_an_outage.value == 1
    await w.advance(50)
    waiters = [w.get("k") for _ in range(3)]
    await w.settle()
    w.load.fail(KeyError("deleted"))
    await w.settle()
    assert [type(waiter.error) for waiter in waiters] == [KeyError] * 3
    assert cache.peek("k") is None
    assert cache.stats().load_failures == 1
    await w.fill("k", 2)


async def test_not_kept(w: World) -> None:
    """NotKept: a value that is not to be kept is for those who wait, and what was held before stays."""
    cache = await w.open(ttl=10, stale_while_revalidate=1_000)
    waiters = [w.get("k") for _ in range(3)]
    await w.settle()
    w.load.succeed(Loaded("once", keep=False))
    await w.settle()
    assert [waiter.value for waiter in waiters] == ["once"] * 3
    assert "k" not in cache
    await w.fill("k", 1)
    await w.advance(20)
    assert await outcome_of(w, "k") == "stale"
    w.load.succeed(Loaded("once", keep=False))
    await w.settle()
    assert cache.peek("k") == 1
    assert await outcome_of(w, "k") == "stale"
    w.load.succeed(2)
    await w.settle()
    assert cache.peek("k") == 2


async def test_reload_is_new(w: World) -> None:
    """ReloadIsNew: who reloads is given what is true now; others are served meanwhile what is kept."""
    cache = await w.open(ttl=10)
    await w.fill("k", 1)
    reloader = w.reload("k")
    await w.settle()
    assert len(w.loads) == 2
    assert not reloader.is_done
    assert await outcome_of(w, "k") == "hit"
    w.load.succeed(2)
    await w.settle()
    assert reloader.value == 2
    assert cache.peek("k") == 2
    assert cache.stats().loads == 2


async def test_generation_monotone(w: World) -> None:
    """GenerationMonotone: no generation is used twice, whatever ends a flight, and whatever the key."""
    cache = await w.open(maxsize=1)
    for end in (cache.invalidate, lambda key: cache.put(key, 0), lambda _: cache.clear()):
        w.get("a")
        w.get("b")
        await w.settle()
        end("a")
        end("b")
    await w.settle()
    generations = started(w)
    assert len(generations) >= 5
    assert generations == sorted(set(generations))


async def test_evicted_is_final(w: World) -> None:
    """EvictedIsFinal: what was removed while its load was awaited does not come back with the load's end."""
    cache = await w.open()
    w.get("k")
    await w.settle()
    cache.invalidate("k")
    w.load.succeed(1)
    await w.settle()
    removed = [step for _, step in w.steps if isinstance(step.before, Evicted)]
    assert not [step for step in removed if not isinstance(step.after, Evicted)]
    assert "k" not in cache
    assert len(cache) == 0


async def test_pending_is_no_victim(w: World) -> None:
    """PendingIsNoVictim: capacity does not take an entry that callers wait for."""
    cache = await w.open(maxsize=1)
    caller = w.get("awaited")
    await w.settle()
    for number in range(5):
        cache.put(number, number)
    assert not caller.is_done
    w.load.succeed(1)
    await w.settle()
    assert caller.value == 1
    assert len(w.loads) == 1


async def test_waiter_count(w: World) -> None:
    """WaiterCount: waiters who come and go in any order leave the number right, so the last one is the last one."""
    await w.open()
    a, b, c = w.get("k", leaves=1), w.get("k", leaves=2), w.get("k", leaves=3)
    await w.settle()
    await w.leave(a)
    await w.leave(b)
    assert not w.load.was_cancelled
    d = w.get("k", leaves=4)
    await w.settle()
    await w.leave(c)
    assert not w.load.was_cancelled
    assert len(w.loads) == 1
    w.load.succeed(1)
    await w.settle()
    assert d.value == 1


@pytest.mark.parametrize("maxsize", [0, 1, 3])
async def test_bounded_size(w: World, maxsize: int) -> None:
    """Bounded: never more than maxsize values are held."""
    cache = await w.open(maxsize=maxsize)
    for key in range(6):
        await w.fill(key, key)
        assert len(cache) <= maxsize
    assert len(cache) == maxsize


async def test_bounded_waiters(w: World) -> None:
    """Bounded: never more than max_waiters wait for a load; the next one is refused at once, and can come later."""
    cache = await w.open(max_waiters=2)
    a, b = w.get("k", leaves=1), w.get("k")
    await w.settle()
    c = w.get("k")
    await w.settle()
    assert isinstance(c.error, TooManyWaiters)
    assert cache.stats().refusals == 1
    await w.leave(a)
    d = w.get("k")
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert (b.value, d.value) == (1, 1)


@pytest.mark.parametrize("origin", [-(10**18), 0, 10**18])
async def test_time_shift(w: World, origin: int) -> None:
    """TimeShift: what the clock calls zero is of no consequence."""
    w.clock = VirtualClock(origin)
    await w.open(ttl=10, stale_while_revalidate=5, load_timeout=3)
    await w.fill("k", 1)
    outcomes = []
    for seconds in (9, 1, 5):
        await w.advance(seconds)
        caller = w.lookup("k")
        await w.settle()
        outcomes.append(caller.value.how if caller.is_done else "waits")
    assert outcomes == ["hit", "stale", "waits"]


async def test_every_get_answered(w: World) -> None:
    """EveryGetAnswered: with a load_timeout, a load that hangs for ever and heeds no cancellation holds nobody."""
    await w.open(load_timeout=5)
    w.ignores_cancellation = True
    callers = [w.get(key) for key in "aab"]
    await w.settle()
    await w.advance(5)
    assert not [caller for caller in callers if not isinstance(caller.error, LoadTimeout)]


async def test_every_other_get_is_answered(w: World) -> None:
    """EveryGetAnswered: a dozen loads hang for ever, for callers and for nobody, and every other key is loaded."""
    cache = await w.open()
    w.ignores_cancellation = True
    for number in range(4):
        w.get(f"awaited {number}")
    for number in range(8):
        cache.refresh(f"unawaited {number}")
    await w.settle()
    for key in ("a", "b", "a"):
        cache.invalidate(key)
        await w.fill(key, key)
    assert sum(caller.is_done for caller in w.callers) == 3


async def test_every_other_value_is_refreshed(w: World) -> None:
    """StaleIsRefreshed: a dozen refreshes hang for ever, and with a load_timeout every other stale value is loaded."""
    cache = await w.open(ttl=10, stale_while_revalidate=100, load_timeout=5)
    w.ignores_cancellation = True
    await w.fill("k", 1)
    for number in range(12):
        cache.refresh(f"unawaited {number}")
    await w.settle()
    await w.advance(10)
    stale = w.get("k")
    await w.settle()
    assert stale.value == 1
    _, again = (load for load in w.loads if load.key == "k")
    again.succeed(2)
    await w.settle()
    assert cache.peek("k") == 2


async def test_stale_is_refreshed(w: World) -> None:
    """StaleIsRefreshed: a stale value that is asked for is loaded again, and the new value served."""
    await w.open(ttl=10, stale_while_revalidate=10)
    await w.fill("k", 1)
    await w.advance(10)
    stale = w.get("k")
    await w.settle()
    assert stale.value == 1
    w.load.succeed(2)
    await w.settle()
    assert w.cache.peek("k") == 2


async def test_pending_and_value_are_one_entry(w: World) -> None:
    """The states that a plain life goes through, as an observer sees them."""
    cache = await w.open()
    await w.fill("k", 1)
    cache.invalidate("k")
    states = [(type(step.before), type(step.after)) for _, step in w.steps]
    assert states == [(Absent, Pending), (Pending, Fresh), (Fresh, Evicted)]
