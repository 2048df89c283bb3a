"""What is checked on the compiled wheel alone; `python -m tests.compiled` names this file to pytest."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import traceback
import weakref
from pathlib import Path
from typing import Any

import pytest

import herdless
import herdless.adapter
import herdless.asyncio
import herdless.threads
import herdless_core
from herdless_core import Fresh, Get, Lifetime, Loaded, Policy, transition

ROOT = Path(__file__).parents[2]


def test_installed_and_compiled_library_is_under_test() -> None:
    """The checkout is on the path for the tests' own sake: its sources must not be what is tested."""
    assert herdless.compiled is True
    for module in (herdless, herdless.asyncio, herdless.adapter, herdless_core._machine):
        path = Path(str(module.__file__))
        assert "site-packages" in path.parts
        assert ROOT / "adapters" not in path.parents


def test_sources_are_beside_what_was_compiled() -> None:
    """Type checkers read them, and tracebacks show them: they are those of the checkout, letter by letter."""
    for package, room in (("herdless_core", "core"), ("herdless", "adapters")):
        installed = Path(str(herdless.__file__)).parents[1] / package
        for source in (ROOT / room / package).glob("*.py"):
            assert (installed / source.name).read_bytes() == source.read_bytes()


def test_traceback_names_the_line_of_the_source() -> None:
    """What is written into the copy that is compiled moves no line."""

    def load(_key: str) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        herdless.threads.Cache(load).get("k")
    frames = {(frame.filename, frame.name): frame.lineno for frame in traceback.extract_tb(caught.value.__traceback__)}
    lines = (ROOT / "adapters" / "herdless" / "_threads_loads.py").read_text(encoding="utf-8").splitlines()
    assert "load(flight.key)" in lines[(frames["herdless/_threads_loads.py", "_run"] or 0) - 1]


def test_lookup_is_known_as_a_coroutine() -> None:
    """Frameworks ask `inspect` what they may await; and a compiled coroutine makes a task like any other."""

    async def load(key: str) -> str:
        return key

    async def main() -> str:
        cache = herdless.asyncio.Cache(load)
        assert inspect.iscoroutinefunction(cache.get)
        return await asyncio.create_task(cache.get("k"))

    assert asyncio.run(main()) == "k"


def test_weak_reference_is_refused() -> None:
    """One that was allowed would outlive its object, and lead to freed memory."""
    with pytest.raises(TypeError, match="weak reference"):
        weakref.ref(herdless.threads.Cache(str.upper))


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])  # noqa: S301  # its own
def test_values_are_copied_and_pickled(through: Any) -> None:
    """A policy or an entry that goes to another process arrives as it was, and not with the defaults."""
    policy = through(Policy(ttl=60, max_waiters=3, jitter=0.5))
    assert (policy.lifetime.ttl, policy.max_waiters, policy.jitter) == (60_000_000_000, 3, 0.5)
    assert through(Loaded("v", ttl=1)).ttl == 1_000_000_000
    fresh = Fresh("v", 0, Lifetime(1, 1, 0, 0), 1, None, 1)
    assert through(fresh) == fresh
    assert through(Get(7)) == Get(7)
    assert repr(fresh).startswith("Fresh(value='v', loaded_at=0, lifetime=Lifetime(")


def test_entries_cannot_be_changed() -> None:
    """Threads look at them without a lock; here even those who try fail."""
    entry, _ = transition(herdless_core.ABSENT, Get(1), 0, Policy())
    with pytest.raises(AttributeError, match="not writable"):
        entry.flight = None  # type: ignore[misc]  # that is the point
