"""What is held as a whole, where the contract suite cannot look: inside the lock, by the wall clock, in other
processes.
"""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

import herdless.asyncio
import herdless.trio
from herdless.threads import Cache, cached
from herdless_core import PolicyError, Put, Step
from tests.interrupts.tables import assert_tables_agree
from tests.runtimes.on_threads import PATIENCE, Gate

RUNTIMES: Final[dict[str, Any]] = {
    "asyncio": herdless.asyncio.Cache,
    "trio": herdless.trio.Cache,
    "threads": Cache,
}
every_runtime = pytest.mark.parametrize("make", RUNTIMES.values(), ids=RUNTIMES)


def inside(make: Callable[..., Any], ask: Callable[[Any], object]) -> tuple[Any, list[object]]:
    """A cache with the keys `a` and `b`, and what it said when it was asked from inside its own lock."""
    said: list[object] = []

    def observe(key: object, step: Step) -> None:
        if key == "b" and isinstance(step.event, Put) and not said:
            said.append(ask(cache))

    cache = make(str.upper, ttl=60, observe=observe)
    cache.put("a", 1)
    cache.put("b", 2)
    assert_tables_agree(cache)
    return cache, said


@every_runtime
def test_invalidate_where_inside_the_lock_comes_after_the_changes_before_it(make: Callable[..., Any]) -> None:
    """A signal's handler that writes and then invalidates must not leave what it wrote, wherever it came in."""

    def ask(cache: Any) -> object:
        cache.put("c", 3)
        return cache.invalidate_where(lambda key: key != "a")

    cache, said = inside(make, ask)
    assert said == [0], "what it meant was not there yet"
    assert cache.keys() == ["a"]


@every_runtime
def test_predicate_that_fails_inside_the_lock_leaves_the_cache_whole(
    make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked again when the lock is left, of what has come by then; nobody is there to be told but the log."""
    with caplog.at_level(logging.ERROR, "herdless"):
        cache, _ = inside(make, lambda cache: cache.invalidate_where(lambda key: key == "a" or 1 / 0))
    assert "a change that was made inside the lock failed" in caplog.text
    assert sorted(cache) == ["a", "b"]


@every_runtime
def test_what_is_asked_inside_the_lock_is_done_when_it_is_left(make: Callable[..., Any]) -> None:
    """`touch` says what is so at the moment, `restore` that nothing has come back yet; both are done."""
    records = [{**record, "key": "c"} for record in inside(make, lambda cache: None)[0].dump()[:1]]
    cache, said = inside(make, lambda cache: (cache.touch("a", 100), cache.touch("b"), cache.restore(records)))
    assert said == [(True, False, 0)]
    assert sorted(cache) == ["a", "b", "c"]
    assert cache.ttl_of("a") > 60
    cache, _ = inside(make, lambda cache: cache.expire_all())
    assert (cache.ttl_of("a"), cache.ttl_of("b")) == (None, None)


@every_runtime
def test_bad_argument_inside_the_lock_is_told_to_whoever_gave_it(make: Callable[..., Any]) -> None:
    """It is looked at before anything is put off."""
    for ask in (
        lambda cache: cache.touch("a", -1),
        lambda cache: cache.restore([{}]),
        lambda cache: cache.invalidate_where("a"),
    ):
        with pytest.raises(PolicyError):
            _raise_what_is_raised_inside(make, ask)


def _raise_what_is_raised_inside(make: Callable[..., Any], ask: Callable[[Any], object]) -> None:
    def asked(cache: Any) -> object:
        try:
            return ask(cache)
        except PolicyError as error:
            return error

    (error,) = inside(make, asked)[1]
    if isinstance(error, PolicyError):
        raise error


@every_runtime
def test_a_value_is_older_by_the_time_since_it_was_dumped(make: Callable[..., Any]) -> None:
    """The two processes share no clock but the wall's; a file that lies there for an hour holds nothing fresh."""
    cache = make(str.upper, ttl=60)
    cache.put("a", 1)
    (record,) = cache.dump()
    for seconds, count in ((0, 1), (30, 1), (60, 0), (-3600, 1)):
        other = make(str.upper, ttl=60)
        assert other.restore([record | {"dumped_at": record["dumped_at"] - seconds}]) == count
        if count:
            assert 0 < other.ttl_of("a") <= 60 - max(seconds, 0)


@every_runtime
def test_a_key_whose_repr_is_a_secret_is_not_told(make: Callable[..., Any]) -> None:
    """The error of a bad record goes into logs, as all others."""
    cache = make(str.upper, show_key=lambda key: "***")
    with pytest.raises(PolicyError, match=r"records\[0\], that of \*\*\*, is not accepted") as refused:
        cache.restore([{"version": 1, "key": "secret"}])
    assert "secret" not in str(refused.value)


def test_records_that_end_in_an_error_restore_nothing() -> None:
    """They may be read from a file while they are restored, which may be cut short."""

    def lines() -> Any:
        yield from Cache[str, int](len).dump() or records
        raise EOFError("cut short")

    cache: Cache[str, int] = Cache(len)
    cache.put("a", 1)
    records = cache.dump()
    other: Cache[str, int] = Cache(len)
    with pytest.raises(EOFError):
        other.restore(lines())
    assert len(other) == 0


def test_predicate_holds_up_nobody() -> None:
    """It runs without the lock, so another thread's miss goes on meanwhile; and what that loads is not meant."""
    gate = Gate()
    gate.open.set()
    cache: Cache[str, str] = Cache(gate.load)
    cache.put("a", "old")

    def is_meant(_key: str) -> bool:
        caller = threading.Thread(target=cache.get, args=("b",), daemon=True)
        caller.start()
        caller.join(PATIENCE)
        return not caller.is_alive()

    assert cache.invalidate_where(is_meant) == 1
    assert cache.keys() == ["b"]


SCRIPT: Final = """
import pickle, sys
from herdless.threads import cached
{function}
records = {records!r}
if records is None:
    f(("a", 1), n="x"); f(("a", 2), n="y")
    sys.stdout.buffer.write(pickle.dumps(f.cache.dump()))
else:
    print(f.cache.restore(pickle.loads(records)), f(("a", 1), n="x"), f(("a", 2), n="y"), f.cache_info().misses)
"""

FUNCTIONS: Final = {
    "by signature": "@cached(ttl=600)\ndef f(pair, *, n, **more): return (pair[1], n)",
    "by key": "@cached(ttl=600, key=lambda pair, n: (pair, n))\ndef f(pair, n): return (pair[1], n)",
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_dump_of_a_decorated_function_is_found_in_another_process(function: str) -> None:
    """Its keys know their hash, and texts have other hashes in each process: what is restored must be found."""

    def run(records: bytes | None) -> bytes:
        script = SCRIPT.format(function=function, records=records)
        return subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=PATIENCE, check=True).stdout

    assert run(run(None)).split() == b"2 (1, 'x') (2, 'y') 0".split()


def test_dump_through_a_file_warms_the_next_process(tmp_path: Path) -> None:
    """The example of the guide: values of any kind, by pickle, and no load."""
    cache: Cache[tuple[str, int], set[int]] = Cache(lambda key: {key[1]}, ttl=60)
    cache.get(("a", 1))
    path = tmp_path / "dump"
    path.write_bytes(pickle.dumps(cache.dump()))
    other: Cache[tuple[str, int], set[int]] = Cache(partial(pytest.fail, "loaded"), ttl=60)
    assert other.restore(pickle.loads(path.read_bytes())) == 1  # noqa: S301  # our own
    assert other.get(("a", 1)) == {1}
    assert other.lookup(("a", 1)).age >= 0


@cached()
def length(text: str) -> int:
    """A function whose cache is asked for its keys."""
    return len(text)


def test_keys_of_a_decorated_function_are_its_arguments() -> None:
    """As `invalidate` of them takes them."""
    length("abc")
    length(text="de")
    assert sorted(length.cache) == [("abc",), ("de",)]
    assert length.cache.invalidate_where(lambda key: key[0].startswith("a")) == 1
    assert length.cache.keys() == [("de",)]


@every_runtime
def test_invalidate_where_nothing_matches_changes_nothing(make: Callable[..., Any]) -> None:
    """It says so."""
    cache = make(str.upper)
    cache.put("a", 1)
    assert cache.invalidate_where(lambda key: key == "b") == 0
    assert cache.peek("a") == 1
