"""Questions and changes wait for the lock, and whoever has it gives it back when all that its step orders is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import pytest

from herdless import _primitives
from herdless.testing import Schedule, Threads, VirtualClock, run_threads
from herdless.threads import Cache
from herdless_core import NANOSECONDS_PER_SECOND

ENTERING: Final[dict[str, Callable[[Any], object]]] = {
    "peek": lambda cache: cache.peek("a"),
    "contains": lambda cache: "a" in cache,
    "len": len,
    "stats": lambda cache: cache.stats(),
    "put": lambda cache: cache.put("a", 1),
    "invalidate": lambda cache: cache.invalidate("a"),
    "expire": lambda cache: cache.expire("a"),
    "refresh": lambda cache: cache.refresh("a"),
    "clear": lambda cache: cache.clear(),
    "get": lambda cache: cache.get("a"),
    "lookup": lambda cache: cache.lookup("a"),
    "close": lambda cache: cache.close(),
}


@pytest.mark.parametrize("call", ENTERING)
def test_a_call_waits_while_another_thread_takes_a_step(call: str) -> None:
    """It would see tables, or change them, while these change."""

    def main(threads: Threads) -> None:
        cache = Cache[str, object](str.upper, clock=threads.clock)
        cache._lock.acquire()
        other = threads.spawn(lambda: ENTERING[call](cache), name="other")
        threads.pause("is inside", lambda: other.has_ended or not other.can_go_on(threads.clock.now))
        assert not other.has_ended, "it went in while another one was inside"
        cache._lock.release()
        other.result()

    run_threads(main, Schedule())


class WatchedLock:
    """A lock that looks around when it is about to be free."""

    def __init__(self, look_around: Callable[[], None]) -> None:
        self._lock = _primitives.RLock()
        self._depth = 0
        self._look_around = look_around

    def acquire(self) -> None:
        """As the real one."""
        self._lock.acquire()
        self._depth += 1

    def release(self) -> None:
        """As the real one."""
        if self._lock._is_owned() and self._depth == 1:  # type: ignore[attr-defined]  # as threading.Condition asks
            self._look_around()
        self._lock.release()
        self._depth -= 1

    def _is_owned(self) -> bool:
        return self._lock._is_owned()  # type: ignore[attr-defined, no-any-return]  # as above


def end_by_its_value(cache: Any, release: Callable[[], None]) -> None:
    """The load succeeds."""
    del cache
    release()


def pass_the_deadline(cache: Any, release: Callable[[], None]) -> None:
    """The load is late; its value comes when nobody waits for it any more."""
    for flight in list(cache._flights.values()):
        cache._deadline_passed(flight)
    release()


def then(change: Callable[[Any], object]) -> Callable[[Any, Callable[[], None]], None]:
    """The load is overtaken by a change."""

    def end(cache: Any, release: Callable[[], None]) -> None:
        change(cache)
        release()

    return end


ENDS: Final[dict[str, Callable[[Any, Callable[[], None]], None]]] = {
    "value": end_by_its_value,
    "deadline": pass_the_deadline,
    "put": then(lambda cache: cache.put("a", "put")),
    "put of another key": then(lambda cache: cache.put("b", "put")),
    "invalidate": then(lambda cache: cache.invalidate("a")),
    "clear": then(lambda cache: cache.clear()),
    "close": then(lambda cache: cache._abort()),
}


@pytest.mark.pure("replaces the lock")
@pytest.mark.parametrize(
    "options", [{}, {"jitter": 0.5, "ttl": 10}, {"maxsize": 1}], ids=["plain", "jitter", "bounded"]
)
@pytest.mark.parametrize("breaks", [False, True], ids=["succeeds", "fails"])
@pytest.mark.parametrize("end", ENDS)
def test_the_lock_is_given_back_when_all_is_done_that_the_step_orders(end: str, breaks: bool, options: Any) -> None:
    """Who comes next must find no load that has ended and whose callers are not answered: they would be overtaken."""
    boarded: list[Any] = []
    late: list[object] = []

    def main(threads: Threads) -> None:
        is_over = False

        def load(key: str) -> str:
            threads.pause("loads", lambda: is_over)
            if breaks:
                raise OSError(key)
            return key

        def look_around() -> None:
            late.extend(flight.key for flight in boarded if flight.has_ended and flight.wait is not None)
            late.extend(cache._keyspace.ended)

        def board(*args: Any) -> Any:
            boarded.append(real_board(*args))
            return boarded[-1]

        def release() -> None:
            nonlocal is_over
            is_over = True

        def get() -> None:
            with contextlib.suppress(Exception):
                cache.get("a")

        cache = Cache[str, str](load, clock=threads.clock, load_timeout=5, **options)
        real_board = cache._keyspace._load_type
        cache._keyspace._load_type = board  # type: ignore[misc, assignment]  # it is Final, and a class
        cache._lock = WatchedLock(look_around)  # type: ignore[assignment]  # it is one
        callers = [threads.spawn(get, name=f"caller {number}") for number in range(3)]
        threads.pause("prepares", lambda: all(each.doing == "waits for an event" for each in callers))
        threads.clock.advance(6 if end == "deadline" else 0)
        ENDS[end](cache, release)
        for caller in callers:
            caller.result()
        threads.pause("waits for the load", lambda: not cache._workers._taken)
        assert boarded
        assert not late, f"the loads of {late} had ended when the lock was free, and their callers were not answered"

    run_threads(main, Schedule(), clock=VirtualClock(NANOSECONDS_PER_SECOND))
