"""What real objects fed the machine, across the deaths of their instances, judged by the judge of all traces.

The other tests' objects are recorded too, and judged when all is over: see `_shared` in conftest.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from herdless.trace import Recorded, read_trace
from herdless_core import ABSENT, Fresh, Get, LoadSucceeded, Pending, Restarted, Stale, Step
from herdless_verify.tlc.toolbox import ToolMissing
from herdless_verify.tlc.traces import validate
from tests.durable_objects.build import Build
from tests.durable_objects.herd import Edge, assert_right, by_object
from tests.durable_objects.origin import Origin
from tests.durable_objects.packages import Runtime
from tests.durable_objects.workerd import start


@pytest.fixture(scope="module")
def killed(
    runtime: Runtime, objects: Build, server: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    """The trace of three objects whose process was killed: one had its value, one was loading, one refreshing."""
    disk = tmp_path_factory.mktemp("traced") / "disk"
    keys = "traced", "traced-loading", "traced-refreshing"
    with (
        ThreadPoolExecutor() as background,
        server.holding("Stale/traced-loading"),
        start(runtime, objects, disk, server.port) as workerd,
    ):
        edge = Edge(workerd, server)
        edge.ask("Stale", "traced", "get")
        edge.ask("Stale", "traced-refreshing", "get")
        edge.ask("Stale", "traced-refreshing", "expire")
        with server.holding("Stale/traced-refreshing"):
            edge.ask("Stale", "traced-refreshing", "get")
            server.wait_for("Stale/traced-refreshing", 2)
            background.submit(edge.ask, "Stale", "traced-loading", "get")
            server.wait_for("Stale/traced-loading")
            trace = edge.trace()
            workerd.kill()
    with start(runtime, objects, disk, server.port) as workerd:
        edge = Edge(workerd, server)
        for key in keys:
            edge.ask("Stale", key, "lookup")
            edge.settled("Stale", key)
        yield trace + edge.trace()


def steps(trace: list[str], key: str) -> list[tuple[str | None, Step]]:
    """The steps of an object of the class Stale, with the names of its instances."""
    lines = by_object(trace)[f"Stale {key!r}"]
    return [(line.section.owner, line.step) for line in read_trace(lines) if isinstance(line, Recorded)]


def takeovers(steps: list[tuple[str | None, Step]]) -> list[Step]:
    """The first step of each instance."""
    return [step for _, step in steps if isinstance(step.event, Restarted)]


def test_every_step_is_right_across_kill_9(killed: list[str]) -> None:
    """What an instance finds is what the one before it saved last, and no generation is used by both."""
    assert_right(killed)
    assert len(by_object(killed)) >= 3


def test_killed_mid_load_the_next_instance_finds_nothing(killed: list[str]) -> None:
    """A flight dies with its process: it is not restored, and the next one has another generation."""
    before, after = takeovers(steps(killed, "traced-loading"))
    assert before.after == after.before == ABSENT
    pending = [step.after for _, step in steps(killed, "traced-loading") if isinstance(step.event, Get)]
    assert [type(entry) for entry in pending] == [Pending, Pending]
    assert pending[0].flight.generation < pending[1].flight.generation  # type: ignore[union-attr]  # as was just seen


def test_killed_after_the_load_the_next_instance_finds_the_value(killed: list[str]) -> None:
    """And loads nothing."""
    taken = steps(killed, "traced")
    _, takeover = takeovers(taken)
    loaded = [step.after for _, step in taken if isinstance(step.event, LoadSucceeded)]
    assert [takeover.before] == loaded
    assert isinstance(takeover.after, Fresh)


def test_killed_during_a_refresh_the_next_instance_refreshes_again(killed: list[str]) -> None:
    """The stale value was saved before its refresh began; it is served, and a new refresh started."""
    taken = steps(killed, "traced-refreshing")
    _, takeover = takeovers(taken)
    assert isinstance(takeover.after, Stale)
    *_, refresh, end = (step for _, step in taken)
    assert isinstance(refresh.event, Get)
    assert isinstance(end.after, Fresh)


def test_every_step_is_right_across_an_abort_mid_load(edge: Edge, key: str) -> None:
    """The platform resets an object while it loads; what the next instance does is judged together with that."""
    edge.ask("Stale", key, "get")
    edge.ask("Stale", key, "expire")
    with edge.held("Stale", key):
        assert edge.ask("Stale", key, "lookup")["how"] == "stale"
        edge.origin.wait_for(f"Stale/{key}", 2)
        edge.ask("Stale", key, "crash")
        assert edge.ask("Stale", key, "lookup")["how"] == "stale"
        edge.origin.wait_for(f"Stale/{key}", 3)
    edge.settled("Stale", key)
    assert edge.ask("Stale", key, "lookup")["how"] == "hit"
    trace = [line for line in edge.trace() if f"Stale {key!r} " in line]
    assert_right(trace)
    taken = steps(trace, key)
    assert len({owner for owner, _ in taken}) == 2
    _, takeover = takeovers(taken)
    assert isinstance(takeover.before, Stale)


@pytest.mark.parametrize(
    ("of", "find"),
    [("traced", "traced-loading"), ("traced-loading", "traced"), ("traced-refreshing", "traced")],
    ids=["lost", "invented", "older"],
)
def test_an_instance_that_found_something_else_is_seen(killed: list[str], of: str, find: str) -> None:
    """The judge is not satisfied by anything: an object that went on from another one's entry departs there."""
    lines = by_object(killed)
    first, _ = takeover_lines(lines[f"Stale {of!r}"])
    _, second = takeover_lines(lines[f"Stale {find!r}"])
    mixed = [*first, *(line.replace(f"Stale {find!r}", f"Stale {of!r}") for line in second)]
    with pytest.raises(AssertionError, match="Restarted"):
        assert_right(mixed)


def takeover_lines(lines: list[str]) -> tuple[list[str], list[str]]:
    """What was written before the process was killed, and after."""
    second = [number for number, line in enumerate(lines) if "herdless_trace" in line][1]
    return lines[:second], lines[second:]


def test_every_step_is_a_behaviour_of_the_specification(killed: list[str]) -> None:
    """TLC is the second judge, of each instance by itself: what it found stored is where its behaviour begins."""
    objects = {name: read_trace(lines) for name, lines in by_object(killed).items()}
    try:
        validation = validate(objects)
    except ToolMissing as missing:
        pytest.skip(str(missing))  # fails where nothing may be skipped
    assert not validation.departed, str(validation.departed[0])
    assert validation.followed + len(validation.left_out) >= 2 * 3
    assert validation.followed >= 3, validation.left_out
