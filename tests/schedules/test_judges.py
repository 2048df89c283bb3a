"""What is wrong is refused: traces and histories that are wrong in one thing each, and runs that do not repeat."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from herdless.testing import (
    Deadlock,
    NotDeterministic,
    NotLinearizable,
    Operation,
    Schedule,
    ScheduleFailed,
    Threads,
    Trace,
    TraceInvalid,
    VirtualClock,
    assert_linearizable,
    assert_trace_valid,
    explore,
    replay,
    run_asyncio,
    run_threads,
    run_trio,
    sample,
)
from herdless.threads import Cache
from herdless_core import Keyspace, Policy, Step

Steps = list[tuple[Any, Step]]
NEVER_ENDED = 2**62


def right_trace() -> Steps:
    """Two callers of one load, of which one leaves; a removal; another load."""
    trace = Trace()
    keyspace = Keyspace[str](Policy(), observe=trace)
    keyspace.get("a", 0)
    keyspace.get("a", 1)
    keyspace.waiter_left(1, 2, can_cancel=True)
    keyspace.load_succeeded(1, "x", 3)
    keyspace.invalidate("a", 4)
    keyspace.get("a", 5)
    keyspace.load_failed(2, ValueError(), 6)
    return list(trace)


def _replaced(index: int, **changes: Any) -> Callable[[Steps], Steps]:
    def tamper(steps: Steps) -> Steps:
        key, step = steps[index]
        return [*steps[:index], (key, dataclasses.replace(step, **changes)), *steps[index + 1 :]]

    return tamper


def _left_without_waiting(_steps: Steps) -> Steps:
    """A caller leaves a refresh, for which nobody waits."""
    trace = Trace()
    keyspace = Keyspace[str](Policy(), observe=trace)
    keyspace.refresh("a", 0)
    keyspace.waiter_left(1, 0, can_cancel=True)
    return list(trace)


@pytest.mark.parametrize(
    ("tamper", "complaint"),
    [
        (_replaced(1, effects=()), "violates AnsweredOnce"),
        (_replaced(3, effects=()), "violates"),
        (_replaced(4, now=0), "goes back in time"),
        (lambda steps: [*steps[:1], *steps[2:]], "begins with"),
        (lambda steps: [*steps[:3], *steps[4:]], "begins with"),
        (lambda steps: [*steps[:5], ("b", steps[0][1])], "goes back in time"),
        (lambda steps: [*steps[:1], ("b", steps[0][1])], "generation 1 is used again"),
        (lambda steps: steps[:1], "the cache has ended, but callers wait: {1: 1}"),
        (_left_without_waiting, "a caller leaves a flight for which nobody waits"),
    ],
)
def test_tampered_trace_is_refused(tamper: Callable[[Steps], Steps], complaint: str) -> None:
    """Each rule of the judge refuses something, and says what."""
    assert_trace_valid(right_trace(), has_ended=True)
    with pytest.raises(TraceInvalid) as refused:
        assert_trace_valid(tamper(right_trace()), has_ended=True)
    assert complaint in str(refused.value)


def test_more_values_than_maxsize_are_refused() -> None:
    """Bounded spans keys, which no invariant of one step sees."""
    trace = Trace()
    keyspace = Keyspace[str](Policy(), observe=trace)
    keyspace.put("a", 1, 0)
    keyspace.put("b", 2, 0)
    keyspace.expire("b", 0)
    assert_trace_valid(trace, maxsize=2)
    with pytest.raises(TraceInvalid, match="2 values are held, more than maxsize=1"):
        assert_trace_valid(trace, maxsize=1)


def _get(called_at: int, ended_at: int, value: str) -> Operation:
    return Operation("get", called_at, ended_at, value)


def _load(began_by: int, ended_by: int, value: str) -> list[Operation]:
    return [
        Operation("load begins", 0, began_by, value),
        Operation("load ends", ended_by, NEVER_ENDED, value),
    ]


RIGHT: dict[str, list[Operation]] = {
    "two callers of one load": [_get(1, 6, "x"), *_load(2, 5, "x"), _get(3, 7, "x")],
    "one who joined before the removal": [_get(1, 8, "x"), *_load(2, 7, "x"), Operation("invalidate", 3, 4)],
    "one who came during the removal": [
        _get(1, 8, "x"),
        *_load(2, 7, "x"),
        Operation("invalidate", 3, 6),
        _get(5, 9, "x"),
    ],
    "a put meanwhile": [_get(1, 6, "p"), *_load(2, 5, "x"), Operation("put", 3, 4, "p"), _get(7, 8, "p")],
    "a refresh": [*_load(1, 2, "x"), _get(3, 4, "x"), *_load(5, 8, "y"), _get(6, 7, "x"), _get(9, 10, "y")],
}

WRONG: dict[str, list[Operation]] = {
    "what was loaded before the removal": [*_load(1, 6, "x"), Operation("invalidate", 2, 3), _get(4, 7, "x")],
    "what was held before the removal": [
        *_load(1, 2, "x"),
        _get(3, 4, "x"),
        Operation("invalidate", 5, 6),
        _get(7, 8, "x"),
    ],
    "what was held before the put": [*_load(1, 2, "x"), Operation("put", 3, 4, "p"), _get(5, 6, "x")],
    "a late result stored": [*_load(1, 6, "x"), Operation("put", 2, 3, "p"), _get(4, 5, "p"), _get(7, 8, "x")],
    "a value from nowhere": [_get(1, 2, "x")],
    "two loads at once, both served": [
        *_load(1, 9, "x"),
        *_load(2, 8, "y"),
        _get(3, 10, "x"),
        _get(4, 5, "y"),
        _get(6, 7, "x"),
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_history_that_makes_sense_is_accepted(name: str) -> None:
    """In whatever order it was written down."""
    history = RIGHT[name]
    assert_linearizable(history)
    random.Random(0).shuffle(history)
    assert_linearizable(history)


@pytest.mark.parametrize("name", WRONG)
def test_history_that_makes_no_sense_is_refused(name: str) -> None:
    """The message shows the operations, and which of them are left."""
    with pytest.raises(NotLinearizable, match="no order of these operations"):
        assert_linearizable(WRONG[name])


def test_explore_runs_every_order_once() -> None:
    """Three things in all orders are six, each different."""
    orders: list[tuple[str, ...]] = []

    def run(schedule: Schedule) -> None:
        rest = ["a", "b", "c"]
        orders.append(tuple(rest.pop(schedule.pick(rest)) for _ in range(3)))

    assert explore(run) == 6
    assert set(orders) == set(itertools.permutations("abc"))
    assert explore(run, bound=0) == 1
    assert explore(run, bound=1) == 4


def test_explore_does_not_leave_out_schedules_silently() -> None:
    """A limit that is too low is an error, not a smaller answer."""
    with pytest.raises(ScheduleFailed, match="more than limit=5 schedules"):
        explore(lambda schedule: schedule.pick("abcdef"), limit=5)


def test_run_that_depends_on_more_than_its_schedule_is_found() -> None:
    """A list that leads elsewhere the second time explores nothing."""
    sizes = itertools.chain([3], itertools.repeat(2))

    def run(schedule: Schedule) -> None:
        assert schedule.pick("abc"[: next(sizes)]) == 9

    with pytest.raises(ScheduleFailed):
        explore(run)
    with pytest.raises(NotDeterministic, match="decision 0 is to take option 2"):
        replay(run, [2])


def test_priorities_and_seeds_repeat() -> None:
    """The same seed is the same schedule; others are others."""

    def decisions(seed: int, switches: int | None) -> list[int]:
        taken: list[int] = []

        def run(schedule: Schedule) -> None:
            taken.extend(schedule.pick(["a", "b", "c"], running="a") for _ in range(20))

        sample(run, seeds=[seed], switches=switches)
        return taken

    for switches in (None, 3):
        assert decisions(1, switches) == decisions(1, switches)
        assert len({tuple(decisions(seed, switches)) for seed in range(10)}) > 1


def test_endless_run_is_ended() -> None:
    """A thread that spins is a failure, not a hang."""

    def main(threads: Threads) -> None:
        while True:
            threads.pause()
            threads.clock.advance(1)

    def two(threads: Threads) -> None:
        threads.spawn(lambda: main(threads))
        main(threads)

    with pytest.raises(ScheduleFailed, match="has not ended after"):
        explore(lambda schedule: run_threads(two, schedule))


def test_deadlock_says_who_waits() -> None:
    """In each runtime: what would hang is an error that names the waiting."""

    async def forever() -> None:
        import asyncio

        await asyncio.get_running_loop().create_future()

    async def forever_in_trio() -> None:
        import trio

        await trio.sleep_forever()

    with pytest.raises(Deadlock, match="these tasks wait: main"):
        run_asyncio(forever)
    with pytest.raises(Deadlock, match="every task waits"):
        run_trio(forever_in_trio)
    with pytest.raises(Deadlock, match="main pauses"):
        run_threads(lambda threads: threads.pause(is_ready=lambda: False))


def test_time_passes_only_when_told() -> None:
    """A cache under the virtual clock is as old as the test says."""
    clock = VirtualClock()
    cache = Cache(str.upper, ttl=60, clock=clock)
    cache.get("a")
    clock.advance(59.5)
    assert cache.lookup("a").how == "hit"
    clock.advance(0.5)
    assert cache.lookup("a").how == "loaded"
    with pytest.raises(ValueError, match="seconds=-1 is not accepted"):
        clock.advance(-1)
