"""The decisions on the value before: what a loader is given of it, and what NOT_MODIFIED comes to."""

from __future__ import annotations

from herdless_core import NOT_MODIFIED, Loaded, PolicyError, Previous
from herdless_verify.contract.world import World, outcome_of


async def test_loader_is_given_what_is_kept(w: World) -> None:
    """A loader that takes two arguments is given the value that is kept, and how old it was when the load began."""
    await w.open(ttl=10, stale_while_revalidate=5, stale_if_error=100, previous=True)
    caller = w.get("k")
    await w.settle()
    assert w.load.previous is None
    w.load.succeed("first")
    await w.settle()
    assert caller.value == "first"
    await w.advance(12)
    assert await outcome_of(w, "k") == "stale"
    assert w.load.previous == Previous("first", 12.0)
    w.load.fail(OSError("down"))
    await w.advance(20)
    waiting = w.get("k")
    await w.settle()
    assert not waiting.is_done
    assert w.load.previous == Previous("first", 32.0)


async def test_not_modified_begins_a_new_life(w: World) -> None:
    """The value that the loader was given is what it is now: everybody gets it, and its age is that of this load."""
    cache = await w.open(ttl=10, stale_if_error=100, previous=True)
    await w.fill("k", "first")
    await w.advance(50)
    waiters = [w.lookup("k") for _ in range(3)]
    await w.advance(2)
    w.load.succeed(NOT_MODIFIED)
    await w.settle()
    assert [(waiter.value.value, waiter.value.age) for waiter in waiters] == [("first", 2.0)] * 3
    assert await outcome_of(w, "k") == "hit"
    await w.advance(8)
    waiting = w.get("k")
    await w.settle()
    assert w.load.previous == Previous("first", 10.0)
    w.load.succeed(Loaded(NOT_MODIFIED, ttl=100))
    await w.advance(90)
    assert waiting.value == "first"
    assert await outcome_of(w, "k") == "hit"
    assert cache.stats().load_failures == 0


async def test_not_modified_does_not_undo_an_invalidation(w: World) -> None:
    """What was invalidated meanwhile is told to those who asked before, and to nobody else."""
    cache = await w.open(ttl=10, stale_if_error=100, previous=True)
    await w.fill("k", "first")
    await w.advance(50)
    before = w.get("k")
    await w.settle()
    cache.invalidate("k")
    after = w.get("k")
    await w.settle()
    earlier, later = w.loads[-2:]
    assert later.previous is None
    earlier.succeed(NOT_MODIFIED)
    await w.settle()
    assert before.value == "first"
    assert not after.is_done
    later.succeed("second")
    await w.settle()
    assert after.value == "second"
    assert cache.peek("k") == "second"


async def test_not_modified_does_not_undo_a_put(w: World) -> None:
    """A value that was given meanwhile is newer than the one of which the loader speaks."""
    cache = await w.open(ttl=10, stale_while_revalidate=100, previous=True)
    await w.fill("k", "first")
    await w.advance(50)
    assert await outcome_of(w, "k") == "stale"
    cache.put("k", "put")
    w.load.succeed(NOT_MODIFIED)
    await w.settle()
    assert cache.peek("k") == "put"


async def test_not_modified_of_a_value_that_has_expired_meanwhile(w: World) -> None:
    """It was there when the load was ordered: that is what the loader has compared, and whoever waits is answered."""
    cache = await w.open(ttl=10, stale_if_error=10, previous=True)
    await w.fill("k", "first")
    await w.advance(19)
    waiting = w.lookup("k")
    await w.advance(5)
    assert cache.peek("k") is None
    w.load.succeed(NOT_MODIFIED)
    await w.settle()
    assert (waiting.value.value, waiting.value.age) == ("first", 5.0)
    assert cache.peek("k") == "first"


async def test_not_modified_where_nothing_was_before_is_a_failure(w: World) -> None:
    """There is nothing to answer with: who waits is told of the loader's mistake, and nothing is stored."""
    cache = await w.open(ttl=10, previous=True)
    waiting = w.get("k")
    await w.settle()
    w.load.succeed(NOT_MODIFIED)
    await w.settle()
    assert isinstance(waiting.error, PolicyError)
    assert "NOT_MODIFIED is not accepted" in str(waiting.error)
    assert cache.peek("k") is None
    assert cache.stats().load_failures == 1
    await w.fill("k", "second")


async def test_not_modified_by_a_loader_of_one_argument_is_a_failure(w: World) -> None:
    """It was given nothing to compare with."""
    cache = await w.open(ttl=10, stale_if_error=100)
    waiting = w.get("k")
    await w.settle()
    w.load.succeed(NOT_MODIFIED)
    await w.settle()
    assert isinstance(waiting.error, PolicyError)
    await w.fill("k", "second")
    await w.advance(10)
    waiting = w.get("k")
    await w.settle()
    w.load.succeed(Loaded(NOT_MODIFIED, ttl=5))
    await w.settle()
    assert waiting.value == "second", "a failure, which the value covers"
    assert cache.stats().load_failures == 2


async def test_not_modified_keeps_the_tags(w: World) -> None:
    """It is the value that has them. What was made from something that changed is found by its tag as before."""
    cache = await w.open(ttl=10, stale_if_error=100, previous=True)
    cache.put("k", "first", tags=["t"])
    cache.put("other", "first", tags=["t"])
    await w.advance(50)
    for key, said in (("k", NOT_MODIFIED), ("other", Loaded(NOT_MODIFIED, tags=["u"]))):
        caller = w.get(key)
        await w.settle()
        w.load.succeed(said)
        await w.settle()
        assert caller.value == "first"
    cache.invalidate_tag("t")
    assert [key in cache for key in ("k", "other")] == [False, True]
    cache.invalidate_tag("u")
    assert "other" not in cache


async def test_not_modified_does_not_undo_an_invalidation_by_a_tag(w: World) -> None:
    """The value that the loader was given had the tag, which was invalidated meanwhile: it does not come back."""
    cache = await w.open(ttl=10, stale_if_error=100, previous=True)
    cache.put("k", "first", tags=["t"])
    await w.advance(50)
    before = w.get("k")
    await w.settle()
    cache.invalidate_tag("t")
    assert "k" not in cache
    w.load.succeed(NOT_MODIFIED)
    await w.settle()
    assert before.value == "first"
    assert "k" not in cache
