"""What a fork does to a cache, whatever its threads and loops were doing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import Any, Final

import pytest

import herdless.asyncio
from herdless._fork import survive_forks
from herdless.threads import Cache
from tests.runtimes.on_threads import run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

PATIENCE: Final = 30


class Told:
    """Notes what it is told. Like what is compiled, it cannot be referred to weakly."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told = 0

    def restart(self) -> None:
        """In the child."""
        self.told += 1


def in_child(check: Any) -> None:
    """Run the check in a forked child, and fail where it fails or hangs there."""
    child = os.fork()
    if child == 0:
        threading.Timer(PATIENCE, os._exit, [2]).start()
        try:
            os._exit(not check())
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_cannot_be_referred_to_weakly_is_told_too() -> None:
    """A cache of the compiled library would otherwise have flights in the child that nobody runs."""
    survivor = Told()
    kept = survive_forks(survivor.restart)
    in_child(lambda: survivor.told == 1)
    assert survivor.told == 0
    assert kept is not None


def test_a_lock_that_another_thread_holds_is_free_in_the_child() -> None:
    """That thread is not in the child, so nobody would give it back: nothing is waited for before a fork."""
    inside, leave = threading.Event(), threading.Event()

    def slow(_key: object, _step: object) -> None:
        inside.set()
        assert leave.wait(PATIENCE)

    cache = Cache(str.upper, observe=slow)
    holder = threading.Thread(target=cache.put, args=("k", "v"))
    holder.start()
    assert inside.wait(PATIENCE)

    def check() -> bool:
        leave.set()
        return cache.get("k", timeout=PATIENCE) == "K" and cache.stats().in_flight == 0

    in_child(check)
    leave.set()
    holder.join(PATIENCE)
    assert cache.get("k") == "v"


def test_a_turn_that_the_parent_has_is_free_in_the_child() -> None:
    """Whoever ran that load is not in the child, so it would never end, and with `max_loads` no other would begin."""
    began, release = threading.Event(), threading.Event()

    def load(key: str) -> str:
        if key == "slow":
            began.set()
            assert release.wait(PATIENCE)
        return key

    cache = Cache(load, max_loads=1)
    asking = threading.Thread(target=cache.get, args=("slow",))
    asking.start()
    assert began.wait(PATIENCE)
    in_child(lambda: cache.get("k", timeout=PATIENCE) == "k")
    release.set()
    asking.join(PATIENCE)
    assert cache.get("k") == "k"


def test_fork_during_a_load() -> None:
    """From diskcache #300: a child forked in the middle of a load has the values, no flights, and no deadlock."""
    printed = run_script("""
        import os, threading
        from herdless.threads import Cache
        from herdless_core import LoadCancelled

        entered, release = threading.Event(), threading.Event()
        parent = os.getpid()

        def load(key):
            if key == "slow" and os.getpid() == parent:
                entered.set()
                release.wait()
            return key.upper()

        cache = Cache(load)
        cache.get("known")
        results = []
        thread = threading.Thread(target=lambda: results.append(cache.get("slow")))
        thread.start()
        cache.refresh("refreshed")
        entered.wait()
        child = os.fork()
        if child == 0:
            assert cache.peek("known") == "KNOWN"
            assert cache.stats().in_flight == 0
            assert cache.get("slow") == "SLOW"
            assert cache.get("aside", timeout=20) == "ASIDE"
            cache.close()
            os._exit(7)
        status = os.waitpid(child, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 7, status
        release.set()
        thread.join()
        print(*results, cache.peek("slow"))
    """)
    assert printed == "SLOW SLOW\n"


def test_fork_inside_a_loader() -> None:
    """The child of a fork by the leader itself comes out of the loader like the parent, and finds its flight ended."""
    printed = run_script("""
        import os
        from herdless.threads import Cache
        from herdless_core import LoadCancelled

        child = None

        def load(key):
            global child
            child = os.fork()
            return key.upper()

        cache = Cache(load)
        try:
            value = cache.get("k")
        except LoadCancelled as error:
            assert child == 0, "only the child"
            assert "forked" in str(error)
            cache.put("k", "put")
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print(value, cache.peek("k"))
    """)
    assert printed == "K K\n"


def test_fork_inside_a_loop() -> None:
    """A child forked while its parent's loop loads has the values, no flights, and may run a loop of its own."""
    script = """
import asyncio, os
from herdless.asyncio import Cache

parent = os.getpid()

async def load(key):
    if os.getpid() == parent:
        await release.wait()
    return key.upper()

async def main():
    global release
    release = asyncio.Event()
    cache.put("known", "KNOWN")
    waiter = asyncio.create_task(cache.get("k"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    child = os.fork()
    if child == 0:
        assert cache.peek("known") == "KNOWN"
        assert cache.stats().in_flight == 0
        assert asyncio.run(cache.get("k")) == "K"
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    release.set()
    print(await waiter)

cache = Cache(load)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "K\n"), done.stderr


def test_loads_in_a_thread_go_on_in_the_child() -> None:
    """That thread is not in the child, where another one is made."""

    async def load(key: str) -> str:
        return key

    cache = herdless.asyncio.Cache(load, loads_in="thread")
    assert asyncio.run(cache.get("k")) == "k"

    def check() -> bool:
        return asyncio.run(asyncio.wait_for(cache.get("another"), PATIENCE)) == "another"

    in_child(check)
