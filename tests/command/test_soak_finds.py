"""Adapters broken on purpose: a short soak finds each, and says what is wrong."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import _asyncio_loads, _asyncio_waits
from herdless._threads_loads import ThreadsLoad
from herdless.adapter import LOGGER
from herdless_verify.soak.foreign import Injection
from herdless_verify.soak.model import Made
from herdless_verify.soak.run import LEAST_LOOKUPS, LEAST_ROUNDS, soak
from tests.schedules.no_lock import NoLock

Break: TypeAlias = Callable[[pytest.MonkeyPatch, Any], None]

CACHES: dict[str, Any] = {
    "asyncio": herdless.asyncio.Cache,
    "trio": herdless.trio.Cache,
    "threads": herdless.threads.Cache,
}
KEPT: list[object] = []


def nobody_is_woken(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """The outcome of a load is noted, and those who wait for it are not told."""
    patch.setattr(cache, "_settle", lambda _self, flight, outcome: setattr(flight, "outcome", outcome))


def nobody_of_a_loop_is_woken(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """The same for asyncio, whose flights have no outcome."""
    patch.setattr(cache, "_settle", lambda *_: None)
    patch.setattr(cache, "_settle_here", lambda *_: None)


def no_deadline_is_reported(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """A load that hangs is waited for without end, whatever `load_timeout` says."""
    patch.setattr(cache, "_deadline_passed", lambda *_: None)


def nobody_is_known_to_have_left(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """Callers who were cancelled are still counted, so a load nobody waits for is not cancelled."""
    patch.setattr(cache, "_left", lambda *_, **__: None)


def nothing_is_locked(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """Steps of one cache overlap."""
    init = cache.__init__

    def without_lock(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        self._lock = NoLock()

    def others_go_on(self: Any, *args: Any) -> None:
        time.sleep(0.001)  # in the middle of a step, where a switch between threads would seldom come
        make(self, *args)

    load_type = ThreadsLoad
    make = load_type.__init__
    patch.setattr(cache, "__init__", without_lock)
    patch.setattr(load_type, "__init__", others_go_on)


def a_load_is_launched_twice(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """One flight, two calls of the loader."""
    launch = cache._launch

    def twice(self: Any, flight: Any) -> None:
        launch(self, flight)
        launch(self, flight)

    patch.setattr(cache, "_launch", twice)
    patch.setattr(cache, "_begins", lambda *_: True, raising=False)


def hits_have_no_age(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """The hot path looks at the value and not at the clock."""
    get = cache.get

    async def ageless(self: Any, key: Any) -> Any:
        entry = self._hot.get(key)
        return entry.value if entry is not None and is_made(entry) else await get(self, key)

    def ageless_of_threads(self: Any, key: Any, timeout: float | None = None) -> Any:
        entry = self._hot.get(key)
        return entry.value if entry is not None and is_made(entry) else get(self, key, timeout)

    def is_made(entry: Any) -> bool:
        return isinstance(getattr(entry, "value", None), Made)

    patch.setattr(cache, "get", ageless_of_threads if cache is herdless.threads.Cache else ageless)


def values_are_kept_beside_the_entries(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """What was invalidated is served all the same, by a dictionary that somebody put before the cache."""
    get = cache.get

    async def remembering(self: Any, key: Any) -> Any:
        beside = vars(self).setdefault("beside", {})
        if key not in beside:
            beside[key] = await get(self, key)
        return beside[key]

    def remembering_of_threads(self: Any, key: Any, timeout: float | None = None) -> Any:
        beside = vars(self).setdefault("beside", {})
        if key not in beside:
            beside[key] = get(self, key, timeout)
        return beside[key]

    patch.setattr(cache, "get", remembering_of_threads if cache is herdless.threads.Cache else remembering)


def invalidation_is_forgotten(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """It returns, and has done nothing."""
    patch.setattr(cache, "invalidate", lambda *_: None)


def flights_are_kept(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """Each flight is appended to some list, and never removed."""
    equip = cache._equip

    def kept(self: Any, flight: Any) -> None:
        KEPT.append(flight)
        equip(self, flight)

    patch.setattr(cache, "_equip", kept)


def every_lookup_leaves_something_behind(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """Something that nobody misses."""
    lookup = cache._lookup

    def hoarding(self: Any, key: Any, answered: Any) -> Any:
        KEPT.extend(float(number) for number in range(100))  # of the few lookups of a busy machine, too
        return lookup(self, key, answered)

    patch.setattr(cache, "_lookup", hoarding)


def loads_are_of_one_key(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """The loader is not told for which key it is called."""
    init = cache.__init__

    def of_one_key(self: Any, load: Any, **options: Any) -> None:
        init(self, lambda _key: load("key-07"), **options)

    patch.setattr(cache, "__init__", of_one_key)


def a_loop_is_not_told_from_its_own_thread(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """Whoever puts from another thread wakes the waiters himself, while their loop may do anything."""
    del cache
    for module in (_asyncio_loads, _asyncio_waits):
        patch.setattr(module, "call_in", lambda _loop, function, *args: function(*args))


def closing_does_nothing(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """It returns, and the cache goes on answering."""

    async def close(_self: Any, *, cancel: bool = False) -> None:
        """Nothing."""

    patch.setattr(cache, "close", close)


def closing_breaks(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """It raises, in a thread that has nobody to raise it to."""

    def close(_self: Any, *, cancel: bool = False) -> None:
        raise OSError("it cannot be closed")

    patch.setattr(cache, "close", close)


def there_is_room_for_all(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """What `maxsize` says is not passed on."""
    init = cache.__init__

    def roomy(self: Any, *args: Any, maxsize: int | None = None, **options: Any) -> None:
        del maxsize
        init(self, *args, **options)

    patch.setattr(cache, "__init__", roomy)


def a_task_is_forgotten(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """Beside each load a task is started, and never ended."""
    start = cache._launch

    def beside(self: Any, flight: Any) -> None:
        start(self, flight)
        KEPT.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))

    patch.setattr(cache, "_launch", beside)


class PlainLock:
    """A lock that its owner cannot take again, until the test is over: what is left of it shall not freeze others."""

    is_over = False

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Wait for ever, unless all is over."""
        while not self._lock.acquire(timeout=0.05) and not PlainLock.is_over:
            pass

    def release(self) -> None:
        """Give it back."""
        if self._lock.locked():
            self._lock.release()

    def _is_owned(self) -> bool:
        """It does not know by whom."""
        return False


def its_lock_cannot_be_taken_twice(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """Whoever uses the cache inside its lock waits for himself: changes are not put off until it is left."""
    init = cache.__init__

    def with_plain_lock(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        self._lock = PlainLock()

    patch.setattr(cache, "__init__", with_plain_lock)
    patch.setattr(cache, "_is_entered", property(lambda _self: False, lambda _self, _value: None), raising=False)


def it_logs_inside_such_a_lock(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """The same, and what a handler of the user's own does is done inside of it."""
    its_lock_cannot_be_taken_twice(patch, cache)
    fail = cache._fail

    def telling(self: Any, *args: Any) -> Any:
        LOGGER.warning("a load failed")
        return fail(self, *args)

    patch.setattr(cache, "_fail", telling)


def nothing_is_mended(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """What an exception broke off stays as it was, the lock included."""
    patch.setattr(cache, "_mend", lambda *_, **__: None)


def the_task_is_thought_to_run_its_coroutine(patch: pytest.MonkeyPatch, cache: Any) -> None:
    """A load is given up whose task runs something that wraps its coroutine."""
    create_task, start = asyncio.BaseEventLoop.create_task, cache._launch

    def own_alone(loop: Any, coroutine: Any, **options: Any) -> Any:
        task = create_task(loop, coroutine, **options)
        if coroutine.__name__ == "_run" and task.get_coro() is not coroutine:
            task.cancel()
            KEPT.append(task)
            return asyncio.Future(loop=loop)  # which nobody ends
        return task

    def starts(self: Any, flight: Any) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(asyncio.BaseEventLoop, "create_task", own_alone)
            start(self, flight)

    patch.setattr(cache, "_launch", starts)


def refreshes_have_one_thread(patch: pytest.MonkeyPatch, _cache: Any) -> None:
    """One that hangs keeps all others from being run."""
    patch.setattr("herdless._workers.MAX_REFRESHERS", 1)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What was kept on purpose goes with its test."""
    yield
    KEPT.clear()


def first_violation(
    runtime: str, broken: Break, patience: float, rounds: int, injections: Sequence[Injection] | None = None
) -> str:
    """What a soak of the broken adapter says. In a process of its own: what is frozen or never ends goes with it, and
    does not slow down the soaks after it.
    """
    what = broken.__name__, runtime, patience, rounds, injections
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"from tests.command.test_soak_finds import tell; tell{what!r}"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tell(broken: str, runtime: str, patience: float, rounds: int, injections: Sequence[Injection] | None) -> None:
    """Break the adapter, print the first violation that a soak finds, and end this process, whatever hangs in it."""
    globals()[broken](pytest.MonkeyPatch(), CACHES[runtime])
    options: dict[str, Any] = {} if injections is None else {"injections": injections}
    soaked = soak(runtime, 0.0, 1, patience=patience, storm_seconds=STORM_SECONDS, least_rounds=rounds, **options)
    print(soaked.first_violation if soaked.violations else "nothing was found", flush=True)  # noqa: T201  # for the test
    os._exit(0 if soaked.violations else 1)


PATIENCE = 300
WAITS = "callers still wait|close.* did not end"
LEAKS = "blocks more than before"
STUCK = "loads do not end beside those that hang for ever"
ENOUGH_ROUNDS, UNTIL_MEMORY_IS_JUDGED = 150, LEAST_ROUNDS
"""Rounds, and not seconds, which are worth less on a busy machine. A soak ends by the first violation, so most need a
few of the first; memory is judged at the end alone.
"""
STORM_SECONDS = 0.4
ANYTHING = "."
"""What goes wrong first without a lock depends on the switches."""


@pytest.mark.parametrize(
    ("runtime", "broken", "complaint"),
    [
        ("asyncio", nobody_of_a_loop_is_woken, WAITS),
        ("trio", nobody_is_woken, WAITS),
        ("threads", nobody_is_woken, WAITS),
        ("trio", no_deadline_is_reported, WAITS),
        ("asyncio", nobody_is_known_to_have_left, "WaiterCount"),
        ("trio", nobody_is_known_to_have_left, "WaiterCount"),
        ("threads", nobody_is_known_to_have_left, "WaiterCount"),
        ("asyncio", nothing_is_locked, ANYTHING),
        ("threads", nothing_is_locked, ANYTHING),
        ("asyncio", a_load_is_launched_twice, "SingleFlight"),
        ("threads", a_load_is_launched_twice, "SingleFlight"),
        ("trio", hits_have_no_age, "HitAge"),
        ("threads", hits_have_no_age, "HitAge"),
        ("asyncio", values_are_kept_beside_the_entries, "NoStaleRead|HitAge"),
        ("asyncio", invalidation_is_forgotten, "NoStaleRead"),
        ("trio", invalidation_is_forgotten, "NoStaleRead"),
        ("threads", invalidation_is_forgotten, "NoStaleRead"),
        ("threads", flights_are_kept, "flights are kept"),
        ("asyncio", every_lookup_leaves_something_behind, LEAKS),
        ("trio", closing_does_nothing, "a closed cache still answers"),
        ("threads", closing_breaks, "a thread ended by OSError"),
        ("trio", there_is_room_for_all, "more than maxsize="),
        ("asyncio", a_loop_is_not_told_from_its_own_thread, "raised RuntimeError.*Non-thread-safe operation"),
        ("asyncio", a_task_is_forgotten, "tasks are left over"),
        ("trio", loads_are_of_one_key, "inside of .*'s flight"),
        pytest.param(
            "threads", refreshes_have_one_thread, STUCK, marks=pytest.mark.pure("a compiled module's number is its own")
        ),
    ],
)
def test_broken_adapter_is_found(runtime: str, broken: Break, complaint: str) -> None:
    """A soak that finds nothing in an adapter that is wrong would say nothing of one that is right."""
    rounds = UNTIL_MEMORY_IS_JUDGED if complaint == LEAKS else ENOUGH_ROUNDS
    patience = 0.5 if WAITS in complaint or complaint in {ANYTHING, STUCK} else 20.0
    found = first_violation(runtime, broken, patience, rounds)
    # Where nobody is woken nothing goes on, and on a busy machine that may be told first.
    assert re.search(f"{complaint}|is frozen" if complaint == WAITS else complaint, found), found


FROZEN = f"is frozen|is stuck|{WAITS}"
HELD = "made inside the cache's own lock"
"""What the thread that was interrupted is told next, where it was left with the lock."""


@pytest.mark.pure("attributes of a compiled class cannot be replaced")
@pytest.mark.parametrize(
    ("runtime", "broken", "injection"),
    [
        ("asyncio", its_lock_cannot_be_taken_twice, "finalizers"),
        ("trio", its_lock_cannot_be_taken_twice, "finalizers"),
        ("threads", its_lock_cannot_be_taken_twice, "finalizers"),
        ("asyncio", its_lock_cannot_be_taken_twice, "signals"),
        ("trio", its_lock_cannot_be_taken_twice, "signals"),
        ("threads", its_lock_cannot_be_taken_twice, "signals"),
        ("asyncio", it_logs_inside_such_a_lock, "logs"),
        ("trio", it_logs_inside_such_a_lock, "logs"),
        ("threads", it_logs_inside_such_a_lock, "logs"),
        ("threads", nothing_is_mended, "interrupts"),
        ("asyncio", the_task_is_thought_to_run_its_coroutine, "factories"),
    ],
)
def test_adapter_that_foreign_code_freezes_is_found(runtime: str, broken: Break, injection: Injection) -> None:
    """Each kind of foreign code finds what only it can find, also where the thread that judges is frozen itself."""
    found = first_violation(runtime, broken, 0.5, ENOUGH_ROUNDS, [injection])
    also = {nothing_is_mended: HELD, the_task_is_thought_to_run_its_coroutine: "flights are kept"}
    assert re.search(f"{FROZEN}|{also[broken]}" if broken in also else FROZEN, found), found


def test_the_first_violation_says_under_which_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """That, the seed and the round are what a search for the cause begins with."""
    invalidation_is_forgotten(monkeypatch, CACHES["threads"])
    soaked = soak("threads", 0.0, 1, storm_seconds=STORM_SECONDS, least_rounds=ENOUGH_ROUNDS)
    assert re.match(r"round \d+ \(ttl=.*, maxsize=.*; closed in the ", str(soaked.first_violation))


@pytest.mark.parametrize("runtime", CACHES)
def test_no_soak_is_too_short_to_judge(runtime: str) -> None:
    """On a machine that is too busy to do anything in the time given, it takes longer, and judges all the same."""
    soaked = soak(runtime, 0.0, 1, storm_seconds=0.001)
    assert soaked.violations == 0, soaked.first_violation
    assert soaked.rounds >= LEAST_ROUNDS
    assert soaked.lookups >= LEAST_LOOKUPS
