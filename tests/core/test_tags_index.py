"""The index of tags, asked directly: what a key that raises, a shared tag and an old note do to it."""

from __future__ import annotations

import pytest

from herdless_core import Keyspace, Loaded, Policy, PolicyError, RunningLoad, with_tags
from herdless_core._tags import FEW_NOTES, MOST_NOTES, Tags, tags_named


class Sulking:
    """A key whose hash fails from the call on that it is told."""

    def __init__(self, left: int = 1_000) -> None:
        self.left = left

    def __hash__(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise ZeroDivisionError
        return 7


def test_key_that_raises_keeps_its_tags_in_the_index() -> None:
    """To have more tags than its value does no harm; an error in the middle of a step would."""
    tags, key = Tags[Sulking]([]), Sulking()
    tags.widen(key, ("red", "round"))
    key.left = 0
    tags.narrow(key, ())
    tags.drop(key)
    assert tags.keys(("round",)) == [key]
    tags.keep(lambda _: True)
    assert tags.keys(("round",)) == [key]
    key.left = 1_000
    assert tags.tags(key) == ()
    tags.drop(key)
    assert tags.keys(("round",)) == [key]
    tags.keep(lambda _: False)
    assert tags.keys(("round",)) == []


def test_one_string_stands_for_a_tag_of_many_values() -> None:
    """Each loader makes its own; the second of a value's tags is found as the first is."""
    tags = Tags[str]([])
    tags.widen("a", ("red", "".join(["ro", "und"])))
    tags.widen("b", ("".join(["ro", "und"]),))
    assert tags.tags("b")[0] is tags.tags("a")[1]


@pytest.mark.parametrize("left", range(40))
def test_value_of_a_key_that_raises_is_stored_with_its_tags_or_not_at_all(left: int) -> None:
    """Wherever its hash begins to fail while a load reports: no tag could find a value that is held without it."""
    cache = Keyspace[Sulking](Policy(ttl=60))
    key = Sulking()
    cache.get(key, 0)
    key.left = left
    try:
        cache.load_succeeded(1, Loaded("value", tags=("red",)), 0)
    except ZeroDivisionError:
        cache.heal()
    key.left = 1_000
    cache.invalidate_tags(("red",), 1)
    assert cache.peek(key, 1) is None


def test_notes_that_were_thrown_together_are_forgotten_with_the_flights_before_them() -> None:
    """A load that hung for long has ended, and with it the reason to take each tag for invalidated."""
    tags = Tags[str]([])
    for number in range(MOST_NOTES + 2 * FEW_NOTES + 2):
        tags.note((f"tag {number}",), 1, 1)
    while not tags.outdated_by(1, ("another",)):
        tags.note((f"tag {tags.number}",), 1, 1)
    tags.forget(2)
    assert tags.outdated_by(1, ("another",)) == 0


def test_tags_are_added_to_what_is_put() -> None:
    """To a bare value and to one that says more of itself, whose own tags come first."""
    assert with_tags("value", ()) == "value"
    said: str | Loaded[str] = Loaded("value", ttl=5, tags=("round",))
    bare, loaded = with_tags("value", ["red"]), with_tags(said, ["red"])
    assert isinstance(bare, Loaded)
    assert isinstance(loaded, Loaded)
    assert (bare.value, bare.tags, loaded.tags, loaded.ttl) == ("value", ("red",), ("round", "red"), 5 * 10**9)
    assert tags_named(("red", "round", "red")) == ("red", "round")


def test_value_with_tags_may_be_refused() -> None:
    """By who has one key, and no other's to invalidate."""
    Loaded("value").require_untagged()
    with pytest.raises(PolicyError, match=r"tags=\('red',\) is not accepted by Durable Objects"):
        Loaded("value", tags=("red",)).require_untagged()


def test_record_of_a_load_gives_its_loader_away_once() -> None:
    """Nothing keeps it afterwards; and whose value is too old is told by the number at which they began to wait."""
    load = RunningLoad("key", 1, 0)
    load.own_load = str.upper
    assert load.take_load() is str.upper
    assert load.own_load is None
    assert not load.is_too_old_for(1)
    load.outdated_by = 2
    assert (load.is_too_old_for(2), load.is_too_old_for(3)) == (False, True)


@pytest.mark.parametrize("left", range(30))
def test_key_that_raises_while_it_is_restored_weighs_what_is_held_of_it(left: int) -> None:
    """Wherever its hash begins to fail: it is there with its weight, or it is not there."""
    cache, key = Keyspace[Sulking](Policy(ttl=60), maxweight=10), Sulking()
    source = Keyspace[Sulking](Policy(ttl=60))
    source.put(key, "value", 0)
    entries = [(each, entry, ("red",)) for each, entry in source.snapshot()]
    key.left = left
    try:
        cache.restore_all(entries, 0, [3])
    except ZeroDivisionError:
        cache.heal()
    key.left = 1_000
    assert cache.stats().weight == (3 if cache.entry(key).holds_value else 0)


def test_weight_is_said_beside_all_else() -> None:
    """What `weigh` found is added to what the loader said of the value."""
    said: Loaded[str] = Loaded("value", ttl=5, tags=("red",)).with_weight(3)
    assert (said.value, said.weight, said.tags, said.ttl) == ("value", 3, ("red",), 5 * 10**9)
