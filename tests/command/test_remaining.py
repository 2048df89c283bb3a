"""What `herdless verify` says of how long it still takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from herdless_verify.command.remaining import Remaining, in_words


def clock(*instants: float) -> Iterator[float]:
    """Instants, one for each look at the clock."""
    yield from instants


def test_what_is_left_is_told_by_what_is_done() -> None:
    """A machine that has needed twice the time so far will need twice the time for the rest."""
    left = Remaining([10, 20, 30], clock(0, 0, 20, 50).__next__)
    assert left.begin("explore") == "1 of 3: explore, about 60 s left"
    assert left.begin("TLC") == "2 of 3: TLC, about 2 min left"
    assert left.begin("CrossHair") == "3 of 3: CrossHair, about 50 s left"


def test_a_log_gets_a_line_now_and_then() -> None:
    """A run of seconds says nothing; one of minutes says every ten seconds what is running."""
    left = Remaining([1, 1, 1], clock(0, 1, 1, 9, 9, 12, 12).__next__)
    assert left.begin_quietly("explore") == ""
    assert left.begin_quietly("TLC") == ""
    assert left.begin_quietly("CrossHair") == "3 of 3: CrossHair, about 6 s left"


@pytest.mark.parametrize(("seconds", "words"), [(0, "about 1 s"), (89, "about 89 s"), (150, "about 2 min")])
def test_nobody_is_told_more_than_is_known(seconds: float, words: str) -> None:
    """Seconds are rounded, minutes too."""
    assert in_words(seconds) == words
