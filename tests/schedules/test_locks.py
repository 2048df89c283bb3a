"""The locks that the explorer puts in place of the real ones behave as these do."""

from __future__ import annotations

from typing import Any

import pytest

from herdless import _primitives
from herdless.testing import Deadlock, Schedule, Threads, clear_all, explore, run_threads
from herdless.threads import Cache


def test_a_re_entrant_lock_is_taken_again_by_its_holder() -> None:
    """A change made by the thread inside the lock, as from a finalizer, must not wait for itself."""

    def main(threads: Threads) -> list[bool]:
        lock = _primitives.RLock()
        with lock, lock:
            other = threads.spawn(lambda: lock.acquire(blocking=False))
            inner = other.result()
        return [inner, threads.spawn(lambda: lock.acquire(blocking=False)).result()]

    assert run_threads(main) == [False, True]


def test_a_re_entrant_lock_is_free_only_when_given_back_as_often_as_taken() -> None:
    """An inner block that ends must not let another thread into the outer one, under any schedule."""

    def scene(schedule: Schedule) -> None:
        seen: list[str] = []

        def main(threads: Threads) -> None:
            lock = _primitives.RLock()

            def outer(name: str) -> None:
                with lock:
                    seen.append(name)
                    with lock:
                        pass
                    threads.pause("is inside")
                    seen.append(name)

            for each in [threads.spawn(lambda name=name: outer(name)) for name in "ab"]:  # type: ignore[misc]
                each.result()

        run_threads(main, schedule)
        assert seen in (list("aabb"), list("bbaa"))

    assert explore(scene, bound=None) > 10


def test_who_does_not_hold_a_re_entrant_lock_cannot_give_it_back() -> None:
    """A release too many is a fault that the real lock reports too."""

    def main(threads: Threads) -> None:
        lock = _primitives.RLock()
        with lock:
            other = threads.spawn(lock.release)
            with pytest.raises(RuntimeError, match="un-acquired"):
                other.result()
        with pytest.raises(RuntimeError, match="un-acquired"):
            lock.release()

    run_threads(main)


def test_a_thread_that_waits_for_what_another_holds_for_ever_is_a_deadlock() -> None:
    """Two locks taken in opposite orders are found, re-entrant or not."""

    def scene(schedule: Schedule) -> None:
        def main(threads: Threads) -> None:
            first, second = _primitives.RLock(), _primitives.RLock()

            def both(one: object, other: object) -> None:
                with one, other:  # type: ignore[attr-defined]
                    pass

            threads.spawn(lambda: both(first, second))
            both(second, first)

        run_threads(main, schedule)

    with pytest.raises(AssertionError) as failed:
        explore(scene, bound=2)
    assert isinstance(failed.value.__cause__, Deadlock)


def test_what_a_run_leaves_locked_is_free_when_it_is_over() -> None:
    """Who held it was stopped. A cache of the run may live on, and `clear_all` after the test must not fail on it."""

    def main(threads: Threads) -> list[Any]:
        made: list[Any] = [_primitives.Lock(), _primitives.RLock(), _primitives.Condition()]

        def hold() -> None:
            for each in made:
                each.acquire()
            threads.pause("holds them", lambda: False)

        holder = threads.spawn(hold, is_daemon=True)
        threads.pause("waits for the holder", lambda: not holder.can_go_on(threads.clock.now))
        return made

    for lock in run_threads(main):
        with lock as is_taken:
            assert is_taken
        with lock as is_taken:
            assert is_taken


def test_a_cache_that_a_run_leaves_in_the_middle_of_a_step_can_be_cleared() -> None:
    """A cycle keeps it alive until the collector comes, and every test in the meantime may clear all caches."""

    def main(threads: Threads) -> Cache[str, str]:
        cache = Cache[str, str](str.upper, ttl=60, clock=threads.clock)

        def look() -> None:
            cache._lock.acquire()
            threads.pause("holds the lock", lambda: False)

        holder = threads.spawn(look, is_daemon=True)
        threads.pause("waits for the holder", lambda: not holder.can_go_on(threads.clock.now))
        return cache

    cache = run_threads(main)
    clear_all()
    assert (cache.get("b"), len(cache)) == ("B", 1)
