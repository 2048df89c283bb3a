"""Tags: what values were made from, by which they are invalidated together."""

from __future__ import annotations

from typing import Any

import pytest

from herdless_core import Loaded, PolicyError
from herdless_verify.contract.world import World, outcome_of


async def test_tags_invalidate(w: World) -> None:
    """TagsInvalidate: every value that has the tag is gone when the call returns, however it came; others stay."""
    cache = await w.open()
    for key, tags in (("a", ["user:7", "team:1"]), ("b", ["user:7"]), ("c", ["user:8"])):
        caller = w.get(key)
        await w.settle()
        w.load.succeed(Loaded(key, tags=tags))
        await w.settle()
        assert caller.value == key
    cache.put("d", "d", tags=["user:7"])
    cache.put("e", Loaded("e", tags=("user:7",)))
    cache.put("f", "f")
    cache.invalidate_tag("user:7")
    assert [key for key in "abcdef" if key in cache] == ["c", "f"]
    assert await outcome_of(w, "a") == "waits"


async def test_several_tags_are_invalidated_at_once(w: World) -> None:
    """A value goes where it has any of them."""
    cache = await w.open()
    for key, tags in (("a", ["x"]), ("b", ["y", "x"]), ("c", ["z"])):
        cache.put(key, key, tags=tags)
    cache.invalidate_tag("x", "y")
    assert [key for key in "abc" if key in cache] == ["c"]


async def test_value_that_replaces_another_has_its_own_tags(w: World) -> None:
    """The tags are the value's, not the key's: by those of the value before it is not found."""
    cache = await w.open()
    cache.put("bare", 1, tags=["old"])
    cache.put("bare", 1)
    cache.put("tagged", 1, tags=["old"])
    cache.put("tagged", Loaded(1, tags=["new"]), tags=["newer"])
    cache.put("loaded", 1, tags=["old"])
    cache.refresh("loaded")
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    cache.invalidate_tag("old")
    assert [key in cache for key in ("bare", "tagged", "loaded")] == [True] * 3
    cache.invalidate_tag("newer")
    assert [key in cache for key in ("bare", "tagged", "loaded")] == [True, False, True]


async def test_load_whose_tag_was_invalidated_is_not_stored(w: World) -> None:
    """From FusionCache #625 and #628, for tags: validity begins at the load's start. Who waited before gets the result,
    as with `invalidate`.
    """
    cache = await w.open()
    waiters = [w.get("k") for _ in range(3)]
    await w.settle()
    cache.invalidate_tag("user:7")
    w.load.succeed(Loaded("old", tags=["user:7"]))
    await w.settle()
    assert [waiter.value for waiter in waiters] == ["old"] * 3
    assert "k" not in cache
    assert await outcome_of(w, "k") == "waits"


async def test_load_that_began_after_the_invalidation_is_stored(w: World) -> None:
    """It has read what the invalidation was for."""
    cache = await w.open()
    other = w.get("other")
    await w.settle()
    cache.invalidate_tag("user:7")
    caller = w.get("k")
    await w.settle()
    w.loads[1].succeed(Loaded("new", tags=["user:7"]))
    await w.settle()
    assert (caller.value, cache.peek("k")) == ("new", "new")
    w.loads[0].succeed("other")
    await w.settle()
    assert other.value == "other"


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "not kept"])
async def test_no_stale_read_of_a_tag(w: World, keep: bool) -> None:
    """TagsInvalidate: who asks after `invalidate_tag` is not told what was read before, not by joining either: nobody
    knew then that the value would have the tag.
    """
    cache = await w.open()
    before = w.get("k")
    await w.settle()
    cache.invalidate_tag("user:7")
    after = [w.get("k") for _ in range(3)]
    await w.settle()
    w.loads[0].succeed(Loaded("old", tags=["user:7"], keep=keep))
    await w.settle()
    assert before.value == "old"
    assert not any(caller.is_done for caller in after)
    assert len(w.loads) == 2
    w.loads[1].succeed(Loaded("new", tags=["user:7"]))
    await w.settle()
    assert [caller.value for caller in after] == ["new"] * 3
    assert cache.peek("k") == "new"
    assert len(w.loads) == 2


async def test_no_stale_read_of_a_tag_by_refresh(w: World) -> None:
    """TagsInvalidate: the same of a load for which nobody waited when the tag was invalidated."""
    cache = await w.open()
    cache.refresh("k")
    await w.settle()
    cache.invalidate_tag("user:7")
    after = w.get("k")
    await w.settle()
    w.loads[0].succeed(Loaded("old", tags=["user:7"]))  # where it was not cancelled
    await w.settle()
    assert not after.is_done
    w.load.succeed(Loaded("new", tags=["user:7"]))
    await w.settle()
    assert after.value == "new"
    assert len(w.loads) == 2


async def test_refresh_of_a_value_with_the_tag_is_superseded(w: World) -> None:
    """The key is invalidated, and what is being loaded for it with it."""
    cache = await w.open(ttl=10, stale_while_revalidate=10)
    caller = w.get("k")
    await w.settle()
    w.load.succeed(Loaded(1, tags=["user:7"]))
    await w.advance(10)
    assert caller.value == 1
    assert await outcome_of(w, "k") == "stale"
    refresh = w.load
    cache.invalidate_tag("user:7")
    refresh.succeed(2)  # where it was not cancelled
    await w.settle()
    assert "k" not in cache
    assert await outcome_of(w, "k") == "waits"


async def test_waiter_of_an_outdated_load_may_leave(w: World) -> None:
    """Whether it came before the invalidation or after it, it takes nobody along."""
    cache = await w.open()
    early, other_early = w.get("k", leaves=1), w.get("k")
    await w.settle()
    cache.invalidate_tag("user:7")
    late, other_late = w.get("k", leaves=2), w.get("k")
    await w.settle()
    await w.leave(early)
    await w.leave(late)
    w.loads[0].succeed(Loaded("old", tags=["user:7"]))
    await w.settle()
    assert other_early.value == "old"
    w.loads[1].succeed(Loaded("new", tags=["user:7"]))
    await w.settle()
    assert other_late.value == "new"


@pytest.mark.parametrize("tags", ["user:7", b"user:7", "", None, 7, [""], [None], [b"user:7"]], ids=repr)
async def test_bad_tags_are_refused(w: World, tags: Any) -> None:
    """Above all a bare string, which would be a tag for each of its letters."""
    cache = await w.open()
    with pytest.raises(PolicyError, match="tags="):
        cache.put("k", 1, tags=tags)
    with pytest.raises(PolicyError, match="tags="):
        cache.put("k", Loaded(1), tags=tags)
    assert "k" not in cache


@pytest.mark.parametrize("tag", [b"user:7", "", None, 7, ["user:7"]], ids=repr)
async def test_bad_tag_is_refused(w: World, tag: Any) -> None:
    """A tag that nothing can have is a mistake, and not nothing to do."""
    cache = await w.open()
    with pytest.raises(PolicyError, match="tag="):
        cache.invalidate_tag(tag)
    with pytest.raises(PolicyError, match="tag="):
        cache.invalidate_tag("user:7", tag)
