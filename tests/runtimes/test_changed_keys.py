"""A key whose hash changes while it is cached: a bug in one corner of a program, of which the log tells once."""

from __future__ import annotations

import logging

import pytest

from herdless.threads import Cache


class Row:
    """An object that gets its identity when it is stored, as ORM rows do."""

    def __init__(self, number: int | None) -> None:
        self.number = number

    def __hash__(self) -> int:
        return hash(self.number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self.number == other.number


def test_the_log_names_the_type_once(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads it finds the class; no flight is left behind, and every caller is answered."""

    def load(row: Row) -> int:
        row.number = row.number or 7  # the insert gives it its number
        return row.number

    cache = Cache(load)
    with caplog.at_level(logging.WARNING, "herdless"):
        for _ in range(3):
            assert cache.get(Row(None)) == 7
    assert [record.getMessage().count("type Row changed its hash") for record in caplog.records] == [1]
    assert cache.stats().in_flight == 0


def test_the_log_names_it_where_the_key_is_removed_too(caplog: pytest.LogCaptureFixture) -> None:
    """The change may be noticed by any step."""
    cache: Cache[Row, int | None] = Cache(lambda row: row.number)
    row = Row(1)
    cache.get(row)
    row.number = 2
    with caplog.at_level(logging.WARNING, "herdless"):
        cache.clear()
        cache.put(Row(3), 3)
        cache.clear()
    assert len(caplog.records) <= 1
    assert len(cache) == 0
