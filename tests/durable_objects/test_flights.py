"""Whatever foreign code does between a step and its end - a task factory, an error's text, an observer, the clock, a
log handler -, everybody is answered and the object goes on. No workerd is needed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import pytest

from herdless_core import MAX_MESSAGE_CHARACTERS, NANOSECONDS_PER_SECOND, Policy
from tests.durable_objects.disk import Disk
from tests.durable_objects.hosted import START_SECONDS, Hosted, VirtualLoop

POLICY: Final = Policy(ttl=10, load_timeout=20)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """A loop whose time is virtual."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Where the object stores."""
    disk = Disk()
    yield disk
    disk.close()


def run(runner: asyncio.Runner, scenario: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    """Run the scenario in the loop."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        await scenario(loop)

    runner.run(main())


async def asked(hosted: Hosted, *, end: BaseException | None = None) -> Any:
    """What a lookup is answered with, once the load that it may start has ended, by its value or by this error."""
    lookup = asyncio.ensure_future(hosted.requests.lookup())
    await hosted.settle()
    hosted.end_load(end)
    await hosted.settle()
    assert lookup.done(), "a caller waits for ever"
    return lookup.result()


# Task factories


def wraps(loop: asyncio.AbstractEventLoop, load: Any, **options: Any) -> Any:
    """As tracing tools do it."""

    async def wrapper() -> Any:
        return await load

    return asyncio.Task(wrapper(), loop=loop, **options)


def cancels(loop: asyncio.AbstractEventLoop, load: Any, **options: Any) -> Any:
    """The task never runs."""
    task = asyncio.Task(load, loop=loop, **options)
    task.cancel()
    return task


def closes(loop: asyncio.AbstractEventLoop, load: Any, **options: Any) -> Any:
    """Something else runs in place of the load."""

    async def wrapper() -> None:
        load.close()

    return asyncio.Task(wrapper(), loop=loop, **options)


def abandons(loop: asyncio.AbstractEventLoop, load: Any, **options: Any) -> Any:
    """The load is begun, and closed where it waits."""

    async def wrapper() -> None:
        load.send(None)
        load.close()

    return asyncio.Task(wrapper(), loop=loop, **options)


def refuses(_loop: asyncio.AbstractEventLoop, _load: Any, **_options: Any) -> Any:
    """There is no task."""
    raise RuntimeError("no more tasks")


FACTORIES: Final[list[tuple[Any, str | None]]] = [
    (wraps, None),
    (cancels, "LoadCancelled"),
    (closes, "LoadCancelled"),
    (abandons, "LoadCancelled"),
    (refuses, "RuntimeError"),
]
if sys.version_info >= (3, 12):
    FACTORIES.append((asyncio.eager_task_factory, None))


@pytest.mark.parametrize(("factory", "error"), FACTORIES)
def test_a_load_ends_under_any_task_factory(
    runner: asyncio.Runner, disk: Disk, factory: Any, error: str | None
) -> None:
    """The application, or a tool that it uses, decides how tasks are made; the key must not hang for it."""

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, POLICY)
        lookup = asyncio.ensure_future(hosted.requests.lookup())
        joined = asyncio.ensure_future(hosted.requests.lookup())
        loop.set_task_factory(factory)
        try:
            await hosted.settle()
            hosted.end_load()
            await hosted.settle()
        finally:
            loop.set_task_factory(None)
        assert lookup.result().get("error") == joined.result().get("error") == error
        assert hosted.is_at_rest()
        assert "value" in await asked(hosted)

    run(runner, scenario)


@pytest.mark.parametrize("end", [asyncio.CancelledError(), SystemExit("bye"), KeyboardInterrupt()])
def test_a_load_that_ends_by_no_exception_is_told_as_cancelled(
    runner: asyncio.Runner, disk: Disk, end: BaseException
) -> None:
    """It would end the whole Worker."""

    class Ends:
        def __await__(self) -> Iterator[None]:
            yield
            raise end

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, POLICY)
        vars(hosted.flights)["_load"] = Ends
        assert (await asked(hosted))["error"] == "LoadCancelled"
        assert hosted.is_at_rest()

    run(runner, scenario)


# Errors


class UserNotFound(LookupError):
    """It can be referred to weakly."""


class Mute(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise ZeroDivisionError


ERRORS: Final = [
    (Mute(), "the message cannot be had: str() raised ZeroDivisionError"),
    (LookupError("x" * 3_000_000), "x" * MAX_MESSAGE_CHARACTERS + "..."),
    (LookupError("no user \ud800"), r"no user \ud800"),
]


@pytest.mark.parametrize(("error", "message"), ERRORS, ids=["mute", "long", "surrogate"])
@pytest.mark.parametrize("negative_ttl", [0, 5])
def test_an_error_that_cannot_be_told_as_it_is_is_told_all_the_same(
    runner: asyncio.Runner, disk: Disk, error: Exception, message: str, negative_ttl: int
) -> None:
    """Its text is the loader's: it may be missing, too long for a row, or no Unicode."""

    async def scenario(loop: VirtualLoop) -> None:
        policy = Policy(ttl=10, negative_ttl=negative_ttl)
        hosted = Hosted(loop, disk, policy)
        told = {"error": type(error).__name__, "message": message}
        assert await asked(hosted, end=error) == told
        successor = Hosted(loop, disk, policy)
        if negative_ttl:
            assert await asked(hosted) == await asked(successor) == told
        else:
            assert "value" in await asked(successor)

    run(runner, scenario)


def test_a_value_that_the_storage_refuses_is_served_and_the_one_before_it_is_gone(
    runner: asyncio.Runner, disk: Disk
) -> None:
    """A row may be too large for reasons of the platform's own. A restart must not bring an older value back."""

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, POLICY)
        assert hosted.requests.put('"old"', None, None) == {}
        disk.fails = lambda _, what: what.startswith("INSERT") and "(1," in what
        reply = hosted.requests.put('"new"', None, None)
        assert reply["error"] == "NotStored"
        assert "could not save the entry: DiskFull: database or disk is full" in reply["message"]
        assert hosted.requests.peek()["value"] == '"new"'
        assert Hosted(loop, disk, POLICY).requests.peek() == {}

    run(runner, scenario)


def test_what_cannot_be_claimed_is_not_loaded(runner: asyncio.Runner, disk: Disk) -> None:
    """Its load could not be told from that of another instance. The caller hears why; a usable value is served."""

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, Policy(ttl=10, stale_while_revalidate=10))
        disk.fails = lambda _, what: what.startswith(("CREATE", "INSERT"))
        assert (await asked(hosted))["error"] == hosted.requests.refresh()["error"] == "NotStored"
        assert hosted.loads == []
        disk.heal()
        assert (await asked(hosted))["how"] == "loaded"
        loop.advance(11)
        disk.fails = lambda _, what: what.startswith("INSERT")
        assert (await asked(hosted))["how"] == "stale"
        assert hosted.loads == []

    run(runner, scenario)


def test_an_alarm_whose_writes_are_refused_comes_again(runner: asyncio.Runner, disk: Disk) -> None:
    """The platform tries again where the handler raises; nobody else would free what is left."""

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, POLICY)
        await asked(hosted)
        loop.advance(11)
        disk.fails = lambda _, what: what == "deleteAll"
        with pytest.raises(Exception, match="could not be freed"):
            await hosted.requests.alarm()
        disk.heal()
        await hosted.requests.alarm()
        assert disk.is_empty

    run(runner, scenario)


# Observer, clock, log


class BrokenHandler(logging.Handler):
    """A handler that raises."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Raise."""
        raise RuntimeError(record.getMessage())


@pytest.mark.parametrize("error", [ValueError, SystemExit])
@pytest.mark.parametrize("what", ["observer", "clock"])
@pytest.mark.parametrize("handler_is_broken", [False, True])
def test_whatever_raises_in_a_step_everybody_is_answered(
    runner: asyncio.Runner, disk: Disk, what: str, error: type[BaseException], handler_is_broken: bool
) -> None:
    """An observer, a clock and a log handler are other people's code; none of them decides whether a step is taken."""
    is_broken = False

    def breaks(*_: object) -> None:
        if is_broken:
            raise error(what)

    def clock() -> int:
        if what == "clock":
            breaks()
        return START_SECONDS * NANOSECONDS_PER_SECOND

    async def scenario(loop: VirtualLoop) -> None:
        nonlocal is_broken
        hosted = Hosted(loop, disk, POLICY, observe=breaks if what == "observer" else None, clock=clock)
        lookup = asyncio.ensure_future(hosted.requests.lookup())
        await hosted.settle()
        is_broken = True
        hosted.end_load()
        await hosted.settle()
        assert lookup.result()["how"] == "loaded"
        assert hosted.requests.invalidate() == {}
        assert (await asked(hosted))["how"] == "loaded"
        hosted.requests.expire()
        assert (await asked(hosted, end=LookupError()))["error"] == "LookupError"
        assert hosted.is_at_rest()

    handler = BrokenHandler()
    logger = logging.getLogger("herdless")
    if handler_is_broken:
        logger.addHandler(handler)
    try:
        run(runner, scenario)
    finally:
        logger.removeHandler(handler)


# Waiters and time


@pytest.mark.parametrize("leave", ["cancel", "close"])
def test_a_waiter_who_leaves_is_counted_off(runner: asyncio.Runner, disk: Disk, leave: str) -> None:
    """Code of the object's own may give up; the place is free again, and the load goes on for others."""

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, Policy(ttl=10, max_waiters=1))
        if leave == "cancel":
            lookup = asyncio.ensure_future(hosted.requests.lookup())
            await hosted.settle()
            lookup.cancel()
            await hosted.settle()
        else:
            coroutine = hosted.requests.lookup()
            coroutine.send(None)
            coroutine.close()
            await hosted.settle()
        assert (await asked(hosted))["how"] == "joined"
        assert len(hosted.loads) == 0

    run(runner, scenario)


def test_a_failure_that_nobody_waits_for_any_more_is_logged(
    runner: asyncio.Runner, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has left is not told."""

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, POLICY)
        lookup = asyncio.ensure_future(hosted.requests.lookup())
        await hosted.settle()
        lookup.cancel()
        await hosted.settle()
        hosted.end_load(OSError("the origin is down"))
        await hosted.settle()

    with caplog.at_level(logging.WARNING):
        run(runner, scenario)
    assert "the refresh of Users 'key' failed" in caplog.text


def test_a_waiter_who_was_answered_does_not_leave(runner: asyncio.Runner, disk: Disk) -> None:
    """Its flight is over; the count is taken off nobody else's."""

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, Policy(ttl=0, max_waiters=1))
        lookup = asyncio.ensure_future(hosted.requests.lookup())
        await hosted.settle()
        hosted.requests.put("1", None, None)  # settles the flight; its waiter has not run since
        lookup.cancel()
        await hosted.settle()
        assert lookup.cancelled()
        assert (await asked(hosted))["how"] == "loaded"
        assert hosted.is_at_rest()

    run(runner, scenario)


def test_a_clock_that_is_set_back_holds_no_deadline_back(runner: asyncio.Runner, disk: Disk) -> None:
    """`load_timeout` is time that passes, not what a clock says of it."""
    added = 0

    async def scenario(loop: VirtualLoop) -> None:
        nonlocal added
        clock = lambda: int((START_SECONDS + loop.time() + added) * NANOSECONDS_PER_SECOND)  # noqa: E731
        hosted = Hosted(loop, disk, POLICY, clock=clock)
        lookup = asyncio.ensure_future(hosted.requests.lookup())
        await hosted.settle()
        added = -3600
        loop.advance(20)
        await hosted.settle()
        assert lookup.result()["error"] == "LoadTimeout"
        assert hosted.is_at_rest()

    run(runner, scenario)


def test_a_clock_that_is_set_back_makes_no_age_negative(runner: asyncio.Runner, disk: Disk) -> None:
    """An `Age` header is a number of seconds, and at least 0."""
    added = 0

    async def scenario(loop: VirtualLoop) -> None:
        nonlocal added
        clock = lambda: int((START_SECONDS + loop.time() + added) * NANOSECONDS_PER_SECOND)  # noqa: E731
        hosted = Hosted(loop, disk, POLICY, clock=clock)
        await asked(hosted)
        added = -5
        assert (await hosted.requests.lookup())["age"] == 0
        assert hosted.requests.peek()["age"] == 0

    run(runner, scenario)


def test_nothing_is_left_of_a_load_that_is_over(runner: asyncio.Runner, disk: Disk) -> None:
    """A timer that is left keeps the object from sleeping, and what it holds from being freed."""

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, POLICY)
        await asked(hosted)
        assert hosted.is_at_rest()
        loop.advance(11)
        lookup = asyncio.ensure_future(hosted.requests.lookup())
        await hosted.settle()
        hosted.requests.put('"put"', None, None)
        await hosted.settle()
        assert lookup.result()["value"] == '"put"'
        assert hosted.is_at_rest()

    run(runner, scenario)


def test_what_is_replaced_is_let_go(runner: asyncio.Runner, disk: Disk) -> None:
    """An object lives for long and has little memory: of the former value or error nothing is kept."""

    async def scenario(loop: VirtualLoop) -> None:
        hosted = Hosted(loop, disk, Policy(ttl=10, negative_ttl=10))
        error = UserNotFound()
        reference = weakref.ref(error)
        await asked(hosted, end=error)
        del error
        assert hosted.requests.put("1", None, None) == {}
        await hosted.settle()
        gc.collect()
        assert reference() is None

    run(runner, scenario)
