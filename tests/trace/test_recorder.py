"""What an adapter records: every step, in every runtime, without a value, and as it was."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdless._trace.plain import policy_from_plain, policy_to_plain
from herdless.testing import Trace, assert_trace_valid, describe
from herdless.threads import Cache
from herdless.trace import Line, RecordedValue, TraceFile, TraceWriter, departure, read_trace, steps_of
from herdless.trace import Recorded as RecordedLine
from herdless_core import Keyspace, Policy, Step
from tests.trace.runs import POLICIES, RUNS

DURATIONS = st.sampled_from([0, 0.1, 1 / 3, 1, 59.999_999_999, 86_400 * 365.25]) | st.floats(0, 1e9)


class Both:
    """Records in memory and as lines at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.trace = Trace()
        self.writer = TraceWriter(self.lines.append)

    def __call__(self, key: Any, step: Step) -> None:
        """Note a step."""
        self.trace(repr(key), step)
        self.writer(key, step)


@pytest.mark.parametrize("runtime", RUNS)
@pytest.mark.parametrize("policy", POLICIES)
def test_what_was_recorded_is_read_again(runtime: str, policy: str) -> None:
    """Step by step the same events, states and effects, and nothing for the judge to find."""
    for seed in range(5):
        both = Both()
        RUNS[runtime](seed, POLICIES[policy], both)
        read = list(steps_of(read_trace(both.lines)))
        assert [describe(*each) for each in read] == [describe(*each) for each in both.trace]
        assert len(read) > 10
        assert_trace_valid(read, has_ended=True, maxsize=POLICIES[policy].get("maxsize"))
        assert departure(read_trace(both.lines), has_ended=True) is None


@given(
    ttl=st.just(math.inf) | DURATIONS,
    swr=DURATIONS,
    sie=DURATIONS,
    negative_ttl=DURATIONS,
    early=st.none() | st.floats(0.01, 0.99),
    load_timeout=st.none() | DURATIONS.filter(lambda seconds: seconds >= 1e-9),
    backoff=DURATIONS,
    max_waiters=st.none() | st.integers(1, 10),
    answers=st.none() | st.just(LookupError),
)
def test_policy_is_read_again_to_the_nanosecond(
    ttl: float,
    swr: float,
    sie: float,
    negative_ttl: float,
    early: float | None,
    load_timeout: float | None,
    backoff: float,
    max_waiters: int | None,
    answers: type[Exception] | None,
) -> None:
    """A replay under another policy would depart, or would find nothing."""
    policy = Policy(
        ttl=ttl,
        stale_while_revalidate=swr,
        stale_if_error=sie,
        negative_ttl=negative_ttl,
        early_refresh=early,
        load_timeout=load_timeout,
        refresh_backoff=backoff,
        max_waiters=max_waiters,
        answers=answers,
    )
    plain = policy_to_plain(policy)
    again = policy_from_plain(json.loads(json.dumps(plain)))
    assert policy_to_plain(again) == plain
    for part in (
        "lifetime",
        "negative_lifetime",
        "load_timeout",
        "refresh_backoff",
        "max_waiters",
        "remembers_failures",
    ):
        assert getattr(again, part) == getattr(policy, part)


def test_no_value_is_in_a_trace() -> None:
    """A trace may be sent to somebody who must not see what was cached; keys can be kept out of it too."""
    lines: list[str] = []
    recorder = TraceWriter(lines.append, key=lambda key: str(len(key)))

    def load(key: str) -> str:
        return f"the secret of {key}"

    cache = Cache(load, observe=recorder)
    cache.get("alice")
    cache.put("bob", "another secret")
    assert len(lines) == 4
    assert not any(word in "".join(lines) for word in ("secret", "alice", "bob"))


def test_same_value_has_the_same_number() -> None:
    """That all waiters got the same, and that it is what is stored, shows in the numbers."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(ttl=math.inf, stale_while_revalidate=60), observe=TraceWriter(lines.append))
    shared, other = ["shared"], ["other"]
    for key, value in (("a", shared), ("b", other), ("c", shared)):
        keyspace.put(key, value, 0)
    keyspace.expire("a", 0)
    keyspace.put("a", other, 0)
    keyspace.invalidate("c", 0)
    steps = [json.loads(line) for line in lines[1:]]
    assert [step["after"].get("value") for step in steps] == [1, 2, 1, 1, 2, None]
    assert [step["before"].get("value") for step in steps] == [None, None, None, 1, 1, 1]


def test_number_is_not_given_again_to_a_value_that_comes_later() -> None:
    """Addresses are used again; a value that was dropped must not be taken for the one that came after it."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(), observe=TraceWriter(lines.append))
    for count in range(50):
        keyspace.put("a", [count], 0)
    assert [json.loads(line)["after"]["value"] for line in lines[1:]] == list(range(1, 51))


def test_recorder_holds_nothing_of_what_has_gone() -> None:
    """A trace of a million steps costs disk, not memory; nor does a newcomer for whom there was no room."""
    recorder = TraceWriter(len)
    keyspace = Keyspace[str](Policy(ttl=1), maxsize=2, observe=recorder)
    for count in range(100):
        keyspace.get(f"{count}", count)
        keyspace.load_succeeded(count + 1, [count], count)
    full = Keyspace[str](Policy(), maxsize=0, observe=(other := TraceWriter(len)))
    for count in range(100):
        full.put(f"{count}", [count], 0)
    assert len(recorder._numbers._numbers) == len(recorder._numbers._holders) == 2
    assert not other._numbers._numbers


def test_reader_holds_nothing_of_what_has_gone() -> None:
    """A trace that is larger than the memory can be judged: of what has no entry any more nothing is kept."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(), observe=TraceWriter(lines.append))
    for count in range(300):
        keyspace.put(f"{count}", [count], 0)
        keyspace.invalidate(f"{count}", 0)

    def watched() -> Iterator[Line]:
        for line in read_trace(lines):
            yield line
            alive = sum(type(each) is RecordedValue for each in gc.get_objects()) if line.line % 100 == 0 else 0
            assert alive < 5

    assert departure(watched()) is None


def test_one_recorder_is_for_one_cache() -> None:
    """The steps of two caches in one trace would depart, so it is an error at once."""
    recorder = TraceWriter(len)
    Keyspace[str](Policy(), observe=recorder).put("a", 1, 0)
    with pytest.raises(ValueError, match="a trace is of one cache"):
        Keyspace[str](Policy(), observe=recorder).put("a", 1, 0)


def test_file_holds_every_step_of_a_process_that_was_killed(tmp_path: Path) -> None:
    """The trace of a crash is the one that is wanted most: kill -9 takes no line along."""
    script = (
        "import os, signal\n"
        "from herdless.threads import Cache\n"
        "from herdless.trace import TraceFile\n"
        "cache = Cache(lambda key: os.kill(os.getpid(), signal.SIGKILL), observe=TraceFile('killed.trace'))\n"
        "cache.put('a', 1)\n"
        "cache.get('b')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode < 0
    steps = [step for _, step in steps_of(read_trace(tmp_path / "killed.trace"))]
    assert [type(step.event).__name__ for step in steps] == ["Put", "Get"]


def test_file_goes_on_where_it_was(tmp_path: Path) -> None:
    """A service that is started again adds to its trace; what it records then is another cache."""
    path = tmp_path / "service.trace"
    for _ in range(3):
        with TraceFile(path) as trace:
            assert Cache(str.upper, observe=trace).get("a") == "A"
    lines = list(read_trace(path))
    assert [line.section.number for line in lines] == [1, 1, 2, 2, 3, 3]
    assert departure(lines) is None


def test_nothing_of_it_is_imported_unless_asked_for() -> None:
    """Off by default, and free when off: neither time nor memory for whoever records nothing."""
    script = (
        "import sys, herdless.asyncio, herdless.threads, herdless.trio, herdless.durable_objects\n"
        "print([name for name in sys.modules if name.startswith('herdless') and 'trace' in name])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_each_step_says_who_took_it() -> None:
    """Who waited is told by the name of the task or thread."""
    for runtime, run in RUNS.items():
        lines: list[str] = []
        run(1, {}, TraceWriter(lines.append))
        by = {line.by for line in read_trace(lines) if isinstance(line, RecordedLine)}
        assert len(by) >= 2, runtime
        assert "" not in by
