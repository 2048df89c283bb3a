"""What only threads can do: hits without the lock, timeouts of one caller, workers, forks, the interpreter's exit."""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import pytest

from herdless._threads_loads import ThreadsLoad
from herdless._workers import MAX_REFRESHERS, Workers
from herdless.adapter import LOADING
from herdless.threads import Cache, cached
from herdless_core import NEVER, Join, LoadCancelled, LoadTimeout, Pending, PolicyError, ReentrantLoad, StartLoad, Step

PATIENCE = 30.0
"""Seconds after which a deadlock fails a test; none waits for so long otherwise."""


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork has none to survive")


class Call:
    """A function call in a thread of its own."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._result: Any = None
        self.error: BaseException | None = None
        self._thread = Thread(target=self._run, args=(function, args), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self._result = function(*args)
        except BaseException as error:  # noqa: BLE001  # given to whoever asks for the result
            self.error = error

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the call hangs"

    def result(self) -> Any:
        """What the call returned; raises what it raised."""
        self.join()
        if self.error is not None:
            raise self.error
        return self._result


class Gate:
    """A loader whose loads wait for the gate, and an observer that knows how many callers joined."""

    def __init__(self) -> None:
        self.open = Event()
        self.entered = threading.Semaphore(0)
        self.joined = threading.Semaphore(0)
        self.threads: list[str] = []

    def load(self, key: str) -> str:
        """Wait for the gate."""
        self.threads.append(threading.current_thread().name)
        self.entered.release()
        assert self.open.wait(PATIENCE)
        return key.upper()

    def observe(self, _key: str, step: Step) -> None:
        """Note who joins."""
        for effect in step.effects:
            if isinstance(effect, Join):
                self.joined.release()

    def wait_for_load(self) -> None:
        """Wait until one more load has been entered."""
        assert self.entered.acquire(timeout=PATIENCE)

    def wait_for_joins(self, count: int) -> None:
        """Wait until so many more callers have joined, those who lead included."""
        for _ in range(count):
            assert self.joined.acquire(timeout=PATIENCE)


# Hits


def test_hit_takes_no_lock() -> None:
    """A hit returns while another thread holds the lock."""
    cache = Cache(str.upper)
    cache.get("k")
    with cache._lock:
        assert Call(cache.get, "k").result() == "K"
    assert cache.stats().hits == 1


def test_one_load_for_thousands_of_callers() -> None:
    """With threads stopped anywhere, a generation has one load, and all who ask get its value."""
    loads: Counter[int] = Counter()
    generation = 0

    def load(_key: str) -> int:
        loads[generation] += 1
        return generation

    def caller() -> None:
        start.wait()
        values.extend(cache.get("k") for _ in range(200))

    cache = Cache(load)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for generation in range(5):  # the loader reads it
            values: list[int] = []
            start = Event()
            calls = [Call(caller) for _ in range(20)]
            start.set()
            for call in calls:
                call.result()
            assert set(values) == {generation}
            assert len(values) == 4_000
            cache.invalidate("k")
    finally:
        sys.setswitchinterval(before)
    assert loads == Counter(dict.fromkeys(range(5), 1))


def test_hot_path_under_change() -> None:
    """Readers without the lock, while entries are evicted, moved and replaced: each key's value, or a load of it."""
    cache: Cache[int, int] = Cache(lambda key: key, maxsize=8)
    errors: list[tuple[int, int]] = []

    def reader(offset: int) -> None:
        for number in range(2_000):
            key = (number * offset) % 24
            if (value := cache.get(key)) != key:
                errors.append((key, value))

    def writer() -> None:
        for number in range(1_000):
            cache.put(number % 24, number % 24)
            cache.invalidate((number + 7) % 24)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for call in [*[Call(reader, offset) for offset in (1, 5, 7)], Call(writer)]:
            call.result()
    finally:
        sys.setswitchinterval(before)
    assert not errors
    assert len(cache) <= 8


# Time-outs


def test_timeout_is_of_one_caller_alone() -> None:
    """A caller that gives up gets TimeoutError; the load and the others go on."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    patient = Call(cache.get, "k")
    gate.wait_for_load()
    with pytest.raises(TimeoutError, match="the load goes on"):
        cache.get("k", 0.01)
    gate.open.set()
    assert patient.result() == "K"


def test_timeout_by_a_clock_that_runs_slower() -> None:
    """The cache's clock decides: who looked at it too early waits on."""
    gate = Gate()
    looks = iter(range(0, 1_000_000_000, 4_000_000))
    cache = Cache(gate.load, clock=lambda: next(looks))
    with pytest.raises(TimeoutError):
        cache.get("k", timeout=0.02)
    gate.open.set()
    assert next(looks) >= 20_000_000


def test_leader_that_gives_up_leaves_its_load_behind() -> None:
    """The load of a caller with a timeout runs on a thread of its own, ends there and is stored."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    with pytest.raises(TimeoutError):
        cache.get("k", timeout=0)
    gate.wait_for_load()
    joiner = Call(cache.get, "k")
    gate.wait_for_joins(2)
    gate.open.set()
    assert joiner.result() == "K"
    assert gate.threads == ["herdless load"]


def test_leader_without_a_timeout_loads_on_its_own_thread() -> None:
    """No thread is started, and thread-local connections of the caller's are the loader's."""
    cache: Cache[str, int] = Cache(lambda _key: threading.get_ident())
    assert cache.get("k") == threading.get_ident()


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**30, 1e10])
def test_endless_timeout(timeout: float) -> None:
    """A timeout longer than a lock can wait is none."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    call = Call(cache.get, "k", timeout)
    gate.wait_for_load()
    gate.open.set()
    assert call.result() == "K"


def test_endless_load_timeout() -> None:
    """The same for the policy's."""
    gate = Gate()
    cache = Cache(gate.load, load_timeout=1e10)
    call = Call(cache.get, "k")
    gate.wait_for_load()
    gate.open.set()
    assert call.result() == "K"


@pytest.mark.parametrize("timeout", [-1, "1", True, float("nan")])
def test_bad_timeout_is_named(timeout: Any) -> None:
    """The error names the argument, its value and what is accepted; nothing is left pending."""
    cache = Cache(str.upper)
    with pytest.raises(PolicyError, match=r"timeout=.* is not accepted: give None or a number of seconds >= 0"):
        cache.get("k", timeout)
    assert cache.stats().in_flight == 0


def test_load_timeout_with_the_real_clock() -> None:
    """The waiters look at the clock themselves; the hung load stays behind on its thread."""
    gate = Gate()
    cache = Cache(gate.load, load_timeout=0.01)
    with pytest.raises(LoadTimeout):
        cache.get("k")
    gate.open.set()


# Threads of the cache


def test_refresh_runs_on_a_thread_of_its_own() -> None:
    """Who asks for a refresh does not do it."""
    gate = Gate()
    gate.open.set()
    done = Event()

    def observe(_key: str, step: Step) -> None:
        if isinstance(step.before, Pending):
            done.set()

    cache = Cache(gate.load, observe=observe)
    cache.refresh("k")
    assert done.wait(PATIENCE)
    assert gate.threads == ["herdless load"]


def test_loads_run_on_the_executor() -> None:
    """`executor=` takes over all loads that no caller runs itself."""
    gate = Gate()
    gate.open.set()
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        cache = Cache(gate.load, executor=pool, load_timeout=60)
        assert cache.get("a") == "A"
        cache.refresh("b")
    assert gate.threads == ["pool_0", "pool_0"]
    assert cache.peek("b") == "B"


def test_context_of_the_caller_reaches_the_other_thread() -> None:
    """Context variables, a tracing id for one, are those of the caller who started the load, on whatever thread."""
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")
    cache: Cache[str, str] = Cache(lambda _key: user.get())
    user.set("caller")
    assert cache.get("k", timeout=PATIENCE) == "caller"


class Refusing:
    """An executor that takes no job."""

    def submit(self, job: Callable[[], object], /) -> object:
        """Refuse."""
        raise RuntimeError("cannot schedule new futures after shutdown")


def test_refresh_that_was_superseded_in_the_queue_does_not_load() -> None:
    """A cache that was cleared or closed must not go on asking its origin for what nobody wants any more."""
    jobs: list[Callable[[], object]] = []

    class Queue:
        def submit(self, job: Callable[[], object], /) -> None:
            jobs.append(job)

    loaded: list[str] = []
    cache = Cache(loaded.append, executor=Queue())
    cache.refresh("dropped")
    cache.close()
    jobs.pop()()
    assert loaded == []
    assert not jobs


def test_executor_that_refuses(caplog: pytest.LogCaptureFixture) -> None:
    """A pool that is shut down fails the load, not the cache: the caller gets its error, a refresh is logged."""
    cache = Cache(str.upper, executor=Refusing())
    with pytest.raises(RuntimeError, match="after shutdown"):
        cache.get("k", timeout=PATIENCE)
    cache.refresh("k")
    assert cache.stats().in_flight == 0
    assert "the refresh of 'k' failed" in caplog.text
    assert cache.get("k") == "K"


class Interrupting:
    """An executor in whose `submit` an interrupt strikes."""

    def submit(self, job: Callable[[], object], /) -> object:
        """Be struck."""
        raise KeyboardInterrupt


def test_interrupt_while_a_load_is_handed_over() -> None:
    """Ctrl-C between the claim of a flight and its start leaves no orphan."""
    cache = Cache(str.upper, executor=Interrupting())
    with pytest.raises(KeyboardInterrupt):
        cache.refresh("k")
    assert cache.stats().in_flight == 0
    assert cache.get("k") == "K"


def test_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no thread left, the load fails and its job does not stay behind in the queue."""
    cache = Cache(str.upper)
    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", _no_thread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            cache.get("k", timeout=PATIENCE)
    assert cache.get("k", timeout=PATIENCE) == "K"


def _no_thread(_thread: Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_refreshes_queue_and_awaited_loads_do_not() -> None:
    """However many refreshes hang, a load that somebody waits for gets a thread; refreshes are few at a time."""
    gate = Gate()
    gates: dict[str, Gate] = {"urgent": Gate()}
    gates["urgent"].open.set()
    cache: Cache[str, str] = Cache(lambda key: gates.get(key, gate).load(key))
    for number in range(2 * MAX_REFRESHERS):
        cache.refresh(str(number))
    for _ in range(MAX_REFRESHERS):
        gate.wait_for_load()
    assert cache.get("urgent", timeout=PATIENCE / 3) == "URGENT"  # before the hung ones give up
    gate.open.set()
    for _ in range(MAX_REFRESHERS):
        gate.wait_for_load()
    assert len(gate.threads) == 2 * MAX_REFRESHERS


def test_idle_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread with nothing to do goes away, and the next job gets another one."""
    monkeypatch.setattr("herdless._workers.IDLE_SECONDS", 0.0)
    workers = Workers[ThreadsLoad]()
    threads: list[Thread] = []
    for _ in range(2):
        done = Event()

        def job(done: Event = done) -> None:
            threads.append(threading.current_thread())
            done.set()

        workers.submit(job, ThreadsLoad("k", 1, NEVER))
        assert done.wait(PATIENCE)
        threads[-1].join(PATIENCE)
        assert not threads[-1].is_alive()
    assert len(set(threads)) == 2


def test_idle_worker_is_used_again() -> None:
    """Threads are kept for a while: one after the other, jobs need one thread."""
    workers = Workers[ThreadsLoad]()
    urgent = ThreadsLoad("k", 1, NEVER)
    urgent.is_urgent = True
    threads = []
    for _ in range(5):
        done = Event()

        def job(done: Event = done) -> None:
            threads.append(threading.get_ident())
            done.set()

        workers.submit(job, urgent)
        assert done.wait(PATIENCE)
        while not is_idle(workers):  # it has only to take the condition; nothing announces that
            pass
    assert len(set(threads)) == 1


def is_idle(workers: Workers[ThreadsLoad]) -> bool:
    """Whether the one worker waits for a job."""
    with workers._condition:
        return len(workers._idle) == 1


# Errors


def test_interrupt_in_the_leader_answers_the_others() -> None:
    """Ctrl-C hits the thread that loads: it gets the interrupt, the others LoadCancelled, and the key loads again."""
    gate = Gate()

    def load(key: str) -> str:
        gate.load(key)
        raise KeyboardInterrupt

    cache = Cache(load, observe=gate.observe)
    leader = Call(cache.get, "k")
    gate.wait_for_load()
    others = [Call(cache.get, "k") for _ in range(3)]
    gate.wait_for_joins(4)
    gate.open.set()
    leader.join()
    assert isinstance(leader.error, KeyboardInterrupt)
    for other in others:
        other.join()
        assert isinstance(other.error, LoadCancelled)
        assert isinstance(other.error.__cause__, KeyboardInterrupt)
    assert cache.stats().in_flight == 0


def test_interrupted_thread_is_inside_no_load() -> None:
    """What it looks up later is not asked for by the load that was interrupted."""

    def load(key: str) -> str:
        if key == "interrupted":
            raise KeyboardInterrupt
        return key

    cache = Cache(load)
    with pytest.raises(KeyboardInterrupt):
        cache.get("interrupted")
    assert LOADING.get() is None


def test_interrupt_on_a_worker_stays_there() -> None:
    """An interrupt has no business on a worker's thread: it is reported, and the worker takes the next job."""

    def load(key: str) -> str:
        if key == "bad":
            raise SystemExit
        return key

    cache = Cache(load)
    with pytest.raises(LoadCancelled):
        cache.get("bad", timeout=PATIENCE)
    assert cache.get("good", timeout=PATIENCE) == "good"


def test_async_loader_is_told() -> None:
    """A coroutine would be cached, and awaited by the first caller alone."""

    async def load(key: str) -> str:
        return key

    cache: Cache[str, Any] = Cache(load)
    with pytest.raises(TypeError, match=r"load=.* is not accepted: give a function that is not async"):
        cache.get("k")


def test_reentrancy_across_threads() -> None:
    """Two threads, each inside the load that the other one asks for: one of them is told, neither hangs."""
    inside = {"a": Event(), "b": Event()}
    joined = Event()

    def load(key: str) -> str:
        other = "b" if key == "a" else "a"
        inside[key].set()
        assert inside[other].wait(PATIENCE)
        return cache.get(other)

    def observe(_key: str, step: Step) -> None:
        if any(isinstance(effect, Join) for effect in step.effects):
            joined.set()

    cache: Cache[str, str] = Cache(load, observe=observe)
    calls = [Call(cache.get, key) for key in "ab"]
    for call in calls:
        call.join()
        assert isinstance(call.error, ReentrantLoad)


# The process


def run_script(script: str) -> str:
    """Run the script in an interpreter of its own; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_exit_does_not_wait_for_a_hung_refresh() -> None:
    """A program that is done ends, whatever its background loads wait for."""
    printed = run_script("""
        from threading import Event
        from herdless.threads import Cache

        entered = Event()

        def load(key):
            entered.set()
            Event().wait()

        cache = Cache(load)
        cache.refresh("k")
        entered.wait()
        print("done")
    """)
    assert printed == "done\n"


@needs_fork
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


@needs_fork
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


# Closing


def test_leaving_by_an_exception_answers_the_waiters() -> None:
    """The body failed: its `with` does not wait for what others load."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    leader = Call(cache.get, "k")
    gate.wait_for_load()
    joiner = Call(cache.get, "k")
    gate.wait_for_joins(2)
    with pytest.raises(OSError, match="body"), cache:
        raise OSError("body")
    joiner.join()
    assert isinstance(joiner.error, LoadCancelled)
    gate.open.set()
    leader.join()
    assert isinstance(leader.error, LoadCancelled)


def test_leaving_waits_for_the_waiters() -> None:
    """Who waits when the body ends still gets the value."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    leader = Call(cache.get, "k")
    gate.wait_for_load()
    closing = Call(cache.close)
    gate.open.set()
    closing.join()
    assert leader.result() == "K"


def test_loader_may_close_its_cache() -> None:
    """A load does not wait for its own end."""

    def load(key: str) -> str:
        cache.close()
        return key

    cache: Cache[str, str] = Cache(load)
    assert Call(cache.get, "k").result() == "k"


def test_decorated_function() -> None:
    """`executor=` goes through the decorator as well."""
    loads = []

    @cached(executor=Refusing())
    def shout(word: str) -> str:
        loads.append(word)
        return word.upper()

    assert shout("a") == shout("a") == "A"
    assert loads == ["a"]


def test_start_load_names_each_generation_once() -> None:
    """Under contention as well, no generation is started twice."""
    generations: list[int] = []

    def observe(_key: int, step: Step) -> None:
        generations.extend(effect.generation for effect in step.effects if isinstance(effect, StartLoad))

    cache: Cache[int, int] = Cache(lambda key: key, observe=observe, ttl=0)

    def caller() -> None:
        for key in range(200):
            cache.get(key % 3)

    for call in [Call(caller) for _ in range(8)]:
        call.result()
    assert generations == sorted(set(generations))
    assert len(generations) == cache.stats().loads
