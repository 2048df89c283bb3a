"""The threads on which a cache runs the loads that no caller runs: its own workers, or an executor's."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from types import FrameType
from typing import Any

import pytest

from herdless._threads_loads import ThreadsLoad, ThreadsLoads
from herdless._workers import MAX_REFRESHERS, Workers
from herdless.threads import Cache, cached
from herdless_core import NEVER, LoadCancelled, Pending, Step
from tests.runtimes.on_threads import PATIENCE, Gate, run_script


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


def test_idle_worker_is_counted_on_by_one_job() -> None:
    """Two callers who come while one thread is idle need two: the first load may take for ever."""
    workers = Workers[ThreadsLoad]()
    urgent = ThreadsLoad("k", 1, NEVER)
    urgent.is_urgent = True
    workers.submit(lambda: None, urgent)
    while not is_idle(workers):  # it has only to take the condition; nothing announces that
        pass
    is_open, done = Event(), Event()
    with workers._condition:  # the idle one is not awake before both jobs are there
        workers.submit(done.set, urgent)
        workers.submit(is_open.wait, urgent)  # the one that is taken up first
    assert workers.running() == []
    assert done.wait(PATIENCE)
    is_open.set()


def is_idle(workers: Workers[ThreadsLoad]) -> bool:
    """Whether the one worker waits for a job."""
    with workers._condition:
        return len(workers._idle) == 1


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


def test_decorated_function() -> None:
    """`executor=` goes through the decorator as well."""
    loads = []

    @cached(executor=Refusing())
    def shout(word: str) -> str:
        loads.append(word)
        return word.upper()

    assert shout("a") == shout("a") == "A"
    assert loads == ["a"]


def at_the_first_instruction(method: Any) -> tuple[Callable[[FrameType, str, object], None], threading.Event]:
    """A trace function that raises there, once, and the event that says that it did."""
    struck = threading.Event()

    def interrupt(frame: FrameType, _event: str, _argument: object) -> None:
        if frame.f_code is method.__code__ and not struck.is_set():
            struck.set()
            raise KeyboardInterrupt

    return interrupt, struck


@pytest.mark.pure("a compiled method has no first instruction")
def test_job_that_an_executor_could_not_begin_is_given_up() -> None:
    """An exception at its very first instruction is in the executor's future, where nobody looks."""
    interrupt, struck = at_the_first_instruction(ThreadsLoads._run_aside)
    cache = Cache(str.upper, executor=ThreadPoolExecutor(1, initializer=lambda: sys.settrace(interrupt)))
    with pytest.raises(LoadCancelled):
        cache.get("k", timeout=PATIENCE)
    assert struck.is_set()
    assert cache.get("k", timeout=PATIENCE) == "K"


@pytest.mark.pure("a compiled method has no first instruction")
def test_load_of_a_thread_that_dies_before_its_first_step_is_run_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `except` of its own sees an exception that is raised at its very first instruction."""
    interrupt, struck = at_the_first_instruction(Workers._work)

    def ask() -> None:
        sys.settrace(None)
        answers.append(cache.get("k", timeout=PATIENCE))

    def track(error: object) -> None:
        """Keep the traceback, as an error tracker does."""
        kept.append(error)
        tracked.set()

    kept: list[object] = []
    tracked = threading.Event()
    monkeypatch.setattr(threading, "excepthook", track)
    answers: list[str] = []
    cache = Cache(str.upper)
    threading.settrace(interrupt)
    try:
        asks = Thread(target=ask, daemon=True)
        asks.start()
        asks.join(PATIENCE)
    finally:
        threading.settrace(None)
    assert struck.is_set()
    assert tracked.wait(PATIENCE), "by the thread that died, perhaps after the caller was answered"
    assert answers == ["K"]
    assert kept
