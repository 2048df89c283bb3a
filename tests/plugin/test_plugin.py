"""The pytest plugin does nothing until it is asked, and then what it says, whichever plugins run the tests."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

APP = """
from herdless.threads import Cache, cached
import herdless.asyncio

loads = []

def load(key):
    loads.append(key)
    return key.upper()

async def load_async(key):
    return load(key)

users = Cache(load, ttl=60)
tokens = herdless.asyncio.Cache(load_async, ttl=60)

@cached(ttl=60)
def price(item):
    loads.append(item)
    return len(item)
"""
CLEAR, CLOCK = "herdless_clear = true", "herdless_clock = true"
ASYNCIO = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function"


def run(pytester: pytest.Pytester, test: str, *settings: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
    """Run this file of tests in a process of its own, beside a module `app` that makes caches when it is imported.

    settings: lines of pytest's settings; plugins: those of the blocked ones that are not.
    """
    lines = "\n".join(settings)
    pytester.makeini(f"[pytest]\nfilterwarnings = error\n{lines}\n")
    pytester.makepyfile(app=APP, test_it=test)
    blocked = [
        argument for name in ("asyncio", "cov", "faker") if name not in plugins for argument in ("-p", f"no:{name}")
    ]
    return pytester.runpytest_subprocess("-q", *blocked, timeout=120)


def test_pytest_finds_the_plugin() -> None:
    """Nobody has to name it."""
    (found,) = [each for each in entry_points(group="pytest11") if each.name == "herdless"]
    assert found.value == "herdless._testing.plugin"


def test_no_effect_until_it_is_asked(pytester: pytest.Pytester) -> None:
    """Whoever installs herdless for its caches must not find his tests changed."""
    test = """
import time, app

def test_first(): assert app.users.get("a") == "A"
def test_second():
    app.users.get("a")
    assert app.loads == ["a"]
    assert app.users._clock is time.monotonic_ns
"""
    run(pytester, test).assert_outcomes(passed=2)


def test_every_test_begins_with_empty_caches(pytester: pytest.Pytester) -> None:
    """Tests that pass in one order and fail in another are the usual price of a cache in a module."""
    test = """
import asyncio, pytest, app

@pytest.mark.parametrize("number", range(2))
def test_it(number):
    app.loads.clear()
    assert (app.users.get("a"), app.price("tea"), asyncio.run(app.tokens.get("b"))) == ("A", 3, "B")
    assert app.loads == ["a", "tea", "b"]
    assert app.price.cache_info().misses == app.users.stats().misses == 1
"""
    run(pytester, test, CLEAR).assert_outcomes(passed=2)
    run(pytester, test).assert_outcomes(passed=1, failed=1)
    with_fixture = test.replace("def test_it(number)", "def test_it(number, herdless_clear)")
    run(pytester, with_fixture).assert_outcomes(passed=2)


def test_time_of_all_caches_moves_by_the_fixture(pytester: pytest.Pytester) -> None:
    """Of those that modules and decorators made before any test, and of those that the test makes."""
    test = """
import asyncio, app
from herdless.threads import Cache

def test_it(herdless_clock):
    own = Cache(app.load, ttl=60)
    for _ in range(2):
        app.loads.clear()
        for _ in range(2):
            app.users.get("a"); app.price("tea"); own.get("own"); asyncio.run(app.tokens.get("b"))
        assert app.loads == ["a", "tea", "own", "b"]
        herdless_clock.advance(59.9)
        assert app.users.lookup("a").how == "hit"
        herdless_clock.advance(0.1)

def test_real_time_goes_on():
    import time
    before = time.monotonic_ns()
    assert before <= app.users._clock() <= time.monotonic_ns()
    assert len(app.users) == 0
"""
    run(pytester, test, CLOCK).assert_outcomes(passed=2)
    refused = run(pytester, test)
    refused.assert_outcomes(passed=1, errors=1)
    refused.stdout.fnmatch_lines(["*herdless_clock = true*"])


def test_disabled_lets_every_lookup_load(pytester: pytest.Pytester) -> None:
    """For a test of what the loader does, and for finding out whether the cache is at fault."""
    test = """
import asyncio, pytest, app

def test_it(herdless_disabled):
    for _ in range(3):
        assert (app.users.get("a"), app.price("tea")) == ("A", 3)
    assert app.loads == ["a", "tea"] * 3

def test_afterwards():
    app.loads.clear()
    for _ in range(3): app.users.get("a")
    assert app.loads == ["a"]
"""
    run(pytester, test).assert_outcomes(passed=2)


@pytest.mark.needs("pytest_asyncio")
def test_pytest_asyncio_with_a_loop_for_each_test(pytester: pytest.Pytester) -> None:
    """A module's cache meets a new loop in each test, and a load that the last test left behind."""
    test = """
import asyncio, pytest, app
from herdless.asyncio import Cache

@pytest.mark.parametrize("number", range(3))
async def test_it(number, herdless_clock):
    app.loads.clear()
    assert await asyncio.gather(*(app.tokens.get("a") for _ in range(5))) == ["A"] * 5
    herdless_clock.advance(61)
    assert await app.tokens.get("a") == "A"
    assert app.loads == ["a", "a"]

started = []
async def hang(key):
    started.append(key)
    await asyncio.Event().wait()
hanging = Cache(hang)

@pytest.mark.parametrize("number", range(2))
async def test_left_behind(number):
    hanging.refresh("a")
    await asyncio.sleep(0)
    assert len(started) == number + 1
"""
    run(pytester, test, ASYNCIO, CLEAR, CLOCK, plugins=("asyncio",)).assert_outcomes(passed=5)


def test_anyio_runs_on_both_of_its_backends(pytester: pytest.Pytester) -> None:
    """The fixtures are of no runtime."""
    test = """
import anyio, pytest, app
import herdless.asyncio, herdless.trio

@pytest.mark.anyio
@pytest.mark.parametrize("number", range(2))
async def test_it(number, anyio_backend_name, herdless_clock):
    app.loads.clear()
    runtime = herdless.asyncio if anyio_backend_name == "asyncio" else herdless.trio
    async with runtime.Cache(app.load_async, ttl=60) as cache:
        for _ in range(2):
            for _ in range(2):
                assert await cache.get("a") == "A"
            herdless_clock.advance(60)
    assert app.loads == ["a", "a"]
"""
    run(pytester, test, CLEAR, CLOCK).assert_outcomes(passed=4)


MOVED = """
import app

def test_it(herdless_wall_clock):
    with frozen() as moved:
        app.loads.clear()
        for _ in range(2):
            app.users.get("a"); app.price("tea")
        assert app.loads == ["a", "tea"]
        moved(59)
        assert app.users.lookup("a").how == "hit"
        moved(1)
        assert app.users.lookup("a").how == "loaded"
        assert app.price("tea") == 3
        assert app.loads == ["a", "tea", "a", "tea"]
"""


@pytest.mark.needs("freezegun")
def test_freezegun_moves_caches(pytester: pytest.Pytester) -> None:
    """By the wall clock, for freezegun does not reach the clock that a cache was made with."""
    frozen = """
from contextlib import contextmanager
from freezegun import freeze_time

@contextmanager
def frozen():
    with freeze_time("2030-01-01") as time:
        yield time.tick
"""
    run(pytester, frozen + MOVED, CLOCK).assert_outcomes(passed=1)


@pytest.mark.needs("time_machine")
def test_time_machine_moves_caches(pytester: pytest.Pytester) -> None:
    """The same."""
    frozen = """
from contextlib import contextmanager
import time_machine

@contextmanager
def frozen():
    with time_machine.travel("2030-01-01", tick=False) as time:
        yield time.shift
"""
    run(pytester, frozen + MOVED, CLOCK).assert_outcomes(passed=1)
