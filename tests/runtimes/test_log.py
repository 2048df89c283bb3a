"""What is logged of failing refreshes: a few lines for an outage, whatever its size."""

from __future__ import annotations

import pytest

from herdless._log import MOST_KEYS, MOST_KINDS, OTHER_KINDS, PAUSE, FailureLog, Report, write

SECOND = PAUSE // 60
DOWN = ConnectionError("down")


def test_an_outage_is_one_traceback_and_a_line_a_minute() -> None:
    """A thousand hot keys, each refreshed every second, for ten minutes."""
    log, told = FailureLog(), []
    for second in range(600):
        for key in range(1_000):
            report = log.failed(key, DOWN, second * SECOND)
            if report is not None:
                told.append((second, report))
    assert [second for second, _ in told] == list(range(0, 600, 60))
    assert told[0][1] == Report("refresh_failed", "ConnectionError", failures=1, keys=1, seconds=0)
    assert told[1][1] == Report("refreshes_fail", "ConnectionError", failures=60_000, keys=1_000, seconds=60)


def test_the_end_is_told_once_when_every_key_is_loaded() -> None:
    """Not at the first load that succeeds: one replica of the origin may be back, and not the other."""
    log = FailureLog()
    for key in "abc":
        log.failed(key, DOWN, 0)
    assert log.is_failing
    assert log.succeeded("a", SECOND) == log.succeeded("other", SECOND) == log.succeeded("b", SECOND) == []
    assert log.succeeded("c", 2 * SECOND) == [
        Report("refreshes_succeed", "ConnectionError", failures=3, keys=0, seconds=0)
    ]
    assert not log.is_failing
    assert log.succeeded("a", 3 * SECOND) == []


def test_keys_that_nobody_asks_for_do_not_hold_the_end_back() -> None:
    """A key that was evicted is never loaded again."""
    log = FailureLog()
    log.failed("evicted", DOWN, 0)
    log.failed("a", DOWN, 2 * SECOND)
    assert log.succeeded("a", PAUSE) == []
    (report,) = log.succeeded("a", 2 * SECOND + PAUSE)
    assert (report.what, report.keys, report.seconds) == ("refreshes_succeed", 1, 2)


def test_one_key_that_goes_on_failing_is_no_end() -> None:
    """Or each minute of a broken row would tell of an outage and of its end."""
    log = FailureLog()
    told = []
    for second in range(300):
        told += [log.failed("broken", DOWN, second * SECOND), *log.succeeded("healthy", second * SECOND)]
    assert [report.what for report in told if report is not None] == ["refresh_failed", *["refreshes_fail"] * 4]


def test_an_origin_that_comes_and_goes_is_told_once_a_minute() -> None:
    """Every second refresh fails: a traceback and an end each time would be as many lines as failures."""
    log, told = FailureLog(), []
    for second in range(0, 240, 2):
        told += [log.failed("a", DOWN, second * SECOND), *log.succeeded("a", (second + 1) * SECOND)]
    whats = [report.what for report in told if report is not None]
    assert whats == ["refresh_failed", "refreshes_succeed"] * 4
    assert sum(report.failures for report in told if report is not None and report.what == "refresh_failed") == 91


def test_kinds_of_errors_are_told_apart_up_to_a_number() -> None:
    """A second kind may be the reason that matters. Classes made on the fly do not add up."""
    log = FailureLog()
    assert log.failed("a", DOWN, 0) is not None
    assert log.failed("a", TimeoutError("slow"), 0) is not None
    assert log.failed("a", DOWN, 0) is None
    reports = [log.failed("a", type(f"Made{number}", (Exception,), {})(), 0) for number in range(100)]
    told = [report.error for report in reports if report is not None]
    assert told == [f"Made{number}" for number in range(MOST_KINDS - 2)] + [OTHER_KINDS]


def test_of_very_many_keys_the_end_is_told_when_no_more_fail() -> None:
    """Their hashes are not collected without a bound."""
    log = FailureLog()
    for key in range(MOST_KEYS + 1):
        log.failed(key, DOWN, 0)
    for key in range(MOST_KEYS + 1):
        assert log.succeeded(key, SECOND) == []
    assert [report.failures for report in log.succeeded("a", PAUSE)] == [MOST_KEYS + 1]


def test_a_key_whose_hash_fails_is_counted() -> None:
    """It may have changed since it was looked up."""
    log = FailureLog()
    report = log.failed([], DOWN, 0)
    assert report is not None
    assert report.keys == 1
    assert [report.failures for report in log.succeeded([], 1)] == [1]


def test_a_line_reads_well_and_has_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    """People read the text, programs the fields; the names of these are documented."""
    write(Report("refresh_failed", "ConnectionError", 1, 1, 0), "'a'", DOWN)
    write(Report("refreshes_fail", "ConnectionError", 3_000, 20, 60), "'b'")
    write(Report("refreshes_succeed", "ConnectionError", 3_001, 0, 61.5), "'c'")
    assert [record.getMessage() for record in caplog.records] == [
        "the refresh of 'a' failed; further failures by ConnectionError are counted",
        "refreshes go on failing by ConnectionError: 3000 failures in 60 s, of 20 keys, such as 'b'",
        "refreshes succeed again: 3001 failed by ConnectionError in 62 s",
    ]
    assert [record.exc_info is not None for record in caplog.records] == [True, False, False]
    fields = {name: value for name, value in vars(caplog.records[1]).items() if name.startswith("herdless_")}
    assert fields == {
        "herdless_cache": None,
        "herdless_event": "refreshes_fail",
        "herdless_error": "ConnectionError",
        "herdless_failures": 3_000,
        "herdless_keys": 20,
        "herdless_key": "'b'",
        "herdless_seconds": 60,
    }
