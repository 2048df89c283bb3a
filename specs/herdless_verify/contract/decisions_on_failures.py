"""Decisions on how long a failure rests: by what failed, and how often in a row."""

# a scenario asserts, and its one-line docstring says why

from __future__ import annotations

from herdless_verify.contract.world import World, outcome_of


async def fail_refresh(w: World, error: Exception) -> None:
    """A lookup of the stale value starts a load, which fails."""
    loads = len(w.loads)
    assert await outcome_of(w, "k") == "stale"
    assert len(w.loads) == loads + 1, "no load was started"
    w.load.fail(error)
    await w.settle()


async def is_resting(w: World) -> bool:
    """Whether a lookup of the stale value starts no load."""
    loads = len(w.loads)
    assert await outcome_of(w, "k") == "stale"
    return len(w.loads) == loads


async def test_back_off_grows_with_failures_in_a_row(w: World) -> None:
    """A service that is down for an hour is not asked each second; one that failed once is asked again soon."""
    await w.open(ttl=10, stale_while_revalidate=1_000, refresh_backoff=(2, 8))
    await w.fill("k", 1)
    await w.advance(20)
    await fail_refresh(w, OSError("down"))
    await w.advance(1.5)
    assert await is_resting(w)
    await w.advance(0.5)
    await fail_refresh(w, OSError("down"))
    await w.advance(4)
    await fail_refresh(w, OSError("down"))
    await w.advance(3.5)  # doubled is 8, and shortened by half at most
    assert await is_resting(w)
    await w.advance(4.5)
    await fail_refresh(w, OSError("down"))
    await w.advance(8)  # never longer than the longest
    assert not await is_resting(w)


async def test_back_off_begins_anew_after_a_success(w: World) -> None:
    """What is over is over."""
    await w.open(ttl=10, stale_while_revalidate=1_000, refresh_backoff=(2, 8))
    await w.fill("k", 1)
    for _ in range(3):
        await w.advance(20)
        await fail_refresh(w, OSError("down"))
    await w.advance(20)
    assert not await is_resting(w)
    w.load.succeed(2)
    await w.settle()
    await w.advance(20)
    await fail_refresh(w, OSError("down"))
    await w.advance(2)
    assert not await is_resting(w)


async def test_back_off_depends_on_the_error(w: World) -> None:
    """Who is told to come back later does so, and not before."""
    await w.open(
        ttl=10,
        stale_while_revalidate=1_000,
        refresh_backoff=lambda error: 50 if isinstance(error, PermissionError) else 1,
    )
    await w.fill("k", 1)
    await w.advance(20)
    await fail_refresh(w, OSError("down"))
    await w.advance(1)
    await fail_refresh(w, PermissionError("not before 50 seconds"))
    await w.advance(49)
    assert await is_resting(w)
    await w.advance(1)
    assert not await is_resting(w)


async def test_negative_ttl_depends_on_the_error(w: World) -> None:
    """That there is no such row is worth remembering, a connection that broke is not."""
    await w.open(negative_ttl=lambda error: 5 if isinstance(error, LookupError) else 0)
    for error, is_remembered in ((OSError("down"), False), (LookupError("no such row"), True)):
        caller = w.get("k")
        await w.settle()
        loads = len(w.loads)
        w.load.fail(error)
        await w.settle()
        assert type(caller.error) is type(error)
        again = w.get("k")
        await w.settle()
        assert (len(w.loads) == loads) == is_remembered
        assert again.is_done == is_remembered
        if not again.is_done:
            w.load.fail(OSError("down"))
            await w.settle()


async def test_function_that_cannot_say_is_told_in_the_error(w: World) -> None:
    """The load has failed all the same; nothing of the policy's code hides that."""

    def broken(_error: Exception) -> float:
        raise ZeroDivisionError

    await w.open(negative_ttl=broken, refresh_backoff=broken)
    caller = w.get("k")
    await w.settle()
    w.load.fail(LookupError("no such row"))
    await w.settle()
    assert isinstance(caller.error, LookupError)
    assert "negative_ttl= raised ZeroDivisionError()" in str(caller.error.__notes__)


async def test_back_off_of_a_load_past_its_deadline_grows_too(w: World) -> None:
    """A service that hangs is down as well, whoever notices it first: the timer, or a lookup."""
    await w.open(ttl=10, stale_while_revalidate=1_000, load_timeout=1, refresh_backoff=(4, 100))
    await w.fill("k", 1)
    await w.advance(20)
    for rest in (4, 8):
        assert not await is_resting(w)
        await w.advance(1)
        await w.advance(3.5)
        assert await is_resting(w) or rest > 4
        await w.advance(rest)
    assert not await is_resting(w)
