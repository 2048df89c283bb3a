"""Who looks whether the holder of a load still lives, and what comes of a look that is answered late."""

from __future__ import annotations

from herdless._shared.links import due_in, wake_orphans
from herdless._shared.threads_links import Place
from herdless_core._fleet.record import Record
from herdless_core._fleet.requests import Parked


def test_an_owner_that_two_looks_in_a_row_miss_is_gone() -> None:
    """One may miss it while its connection is made anew."""
    place = Place()
    place.wait_for(Record(owner="dead"))
    wake_orphans(due_in([place]), set())
    assert place.parked == Parked()
    wake_orphans(due_in([place]), set())
    assert place.parked == Parked(owner_is_gone=True)


def test_a_look_that_is_answered_late_does_not_take_the_next_owner_for_gone() -> None:
    """Another process took over while the question for the dead one was on its way: its load would be run twice."""
    place = Place()
    place.wait_for(Record(owner="dead"))
    wake_orphans(due_in([place]), set())
    looks = due_in([place])
    place.owner = ""  # it was told, and asks for the record anew
    place.look_anew()
    wake_orphans(looks, set())
    place.wait_for(Record(owner="living"))
    assert place.parked == Parked()


def test_a_look_that_finds_nobody_says_nothing_of_who_is_waited_for_by_then() -> None:
    """The answer comes when it waits for the next one already."""
    place = Place()
    place.wait_for(Record(owner="dead"))
    looks = due_in([place])
    place.look_anew()
    place.wait_for(Record(owner="living"))
    wake_orphans(looks, set())
    wake_orphans(due_in([place]), set())
    assert place.parked == Parked()
