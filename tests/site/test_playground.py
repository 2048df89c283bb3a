"""The Python of the page of the machine: it drives the core as an adapter does, and the tour tells what is so."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from docs.generate.promises import promised
from docs.playground.bench import Bench
from docs.playground.rules import RULES, promises_of
from docs.playground.tour import RACES, Race, bench_of
from docs.playground.web import SHOWN, Page, replay
from herdless.testing import assert_trace_valid
from herdless.threads import Cache
from herdless.trace import TraceFile
from herdless_core import Policy, Value, read
from herdless_core.invariants import violated
from herdless_core.table import EVENTS, STATES

POLICIES = {
    "plain": Policy(ttl=60),
    "stale": Policy(ttl=60, stale_while_revalidate=60, stale_if_error=300, load_timeout=10),
    "soft": Policy(ttl=20, stale_if_error=300, soft_timeout=1),
    "all": Policy(ttl=20, stale_while_revalidate=20, negative_ttl=15, load_timeout=5, max_waiters=2, early_refresh=0.5),
}


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_race_ends_as_the_tour_tells(race: Race) -> None:
    """A reader who follows the tour sees what its sentences say."""
    bench = bench_of(race)
    for button, _ in race.moves:
        bench.press(button)
    assert {name: caller.told for name, caller in bench.callers.items()} == dict(race.told)
    named = set(re.findall(r"issue (\d+)", race.elsewhere))
    assert {source.rpartition("/")[2] for source in race.sources} == named
    held = read(bench.entry, bench.now)
    assert (held.value if isinstance(held, Value) else "") == race.held


@pytest.mark.parametrize("can_cancel", [True, False])
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_whatever_is_pressed_keeps_every_promise(policy: Policy, can_cancel: bool) -> None:
    """The page is a correct adapter: over thousands of buttons in any order nothing is broken, and all can be shown."""
    chance = random.Random(7)
    for _ in range(40):
        bench = Bench(policy, can_cancel)
        for _ in range(60):
            bench.press(chance.choice(list(bench.buttons())))
            json.dumps(bench.view())
        steps = [taken.step for taken in bench.steps]
        assert [name for step in steps for name in violated(step)] == []
        assert_trace_valid([("key", step) for step in steps])
        waiting = [caller.waits_for for caller in bench.callers.values() if caller.waits_for is not None]
        flights = [entry.flight for entry in (bench.entry, *bench.removed) if entry.flight]
        assert {flight.generation: flight.waiters for flight in flights if flight.waiters} == {
            generation: waiting.count(generation) for generation in waiting
        }


def test_every_input_has_a_rule_in_every_state() -> None:
    """docs/states.md shows them, and the page links to them."""
    assert list(RULES) == [event.__name__ for event in EVENTS]
    assert all(list(rules) == [state.__name__ for state in STATES] for rules in RULES.values())


def test_promises_of_steps_are_those_that_are_promised() -> None:
    """The page links each one to its row; over a long walk most of them come up."""
    chance = random.Random(11)
    shown: set[str] = set()
    for policy in POLICIES.values():
        bench = Bench(policy)
        for _ in range(400):
            bench.press(chance.choice(list(bench.buttons())))
        shown |= {name for taken in bench.steps for name in promises_of(taken.step)}
    assert shown <= {promise.name for promise in promised()}
    assert len(shown) >= 14


def test_a_button_that_is_not_there_is_refused() -> None:
    """A page out of step with its Python must not go on."""
    with pytest.raises(ValueError, match="'leave Ann' cannot be pressed now"):
        Bench(Policy(ttl=60)).press("leave Ann")


def call(page: Page, name: str, *arguments: Any) -> Any:
    """Call as JavaScript does."""
    return json.loads(page.call(name, json.dumps(arguments)))


def test_a_policy_that_is_refused_is_told_in_its_own_words() -> None:
    """The reader learns what is accepted, and goes on with the bench that was there."""
    page = Page()
    assert "early_refresh" in call(page, "new", {"ttl": 60, "early_refresh": 2})["error"]
    assert call(page, "press", "get Ann")["state"] == "Pending"


def trace_of(folder: Path, keys: Iterable[str]) -> str:
    """The text of a real cache's trace, of these keys."""
    file = folder / "users.trace"
    with TraceFile(file) as trace, Cache(str.upper, ttl=60, observe=trace) as cache:
        for key in keys:
            cache.get(key)
    return file.read_text(encoding="utf-8")


def test_a_readers_trace_is_judged_and_shown(tmp_path: Path) -> None:
    """The same reader and judge as `herdless trace`."""
    replayed = replay(trace_of(tmp_path, "ab"))
    assert replayed["verdict"].endswith("steps are what the machine does")
    assert [step["name"] for step in replayed["steps"]][:2] == ["Get", "LoadSucceeded"]
    assert json.dumps(replayed)


def test_a_trace_that_departs_says_where(tmp_path: Path) -> None:
    """A line that no adapter writes is found, and named."""
    lines = trace_of(tmp_path, "ab").splitlines(keepends=True)
    replayed = replay("".join([*lines[:2], *lines[3:]]))
    assert replayed["departs"] is not None
    assert f"departs at line {replayed['departs']}" in replayed["verdict"]


@pytest.mark.parametrize(("text", "said"), [("hello", "line 1"), ("", "is empty"), (None, "no step")])
def test_what_is_no_trace_is_refused_in_words(text: str | None, said: str, tmp_path: Path) -> None:
    """The page shows the complaint, not a stack."""
    assert said in replay(trace_of(tmp_path, "a").splitlines(keepends=True)[0] if text is None else text)["error"]


def test_of_a_long_trace_the_first_steps_are_shown(tmp_path: Path) -> None:
    """All are judged; a browser need not draw them all."""
    text = trace_of(tmp_path, [f"{number}" for number in range(SHOWN)])
    replayed = replay(text)
    assert len(replayed["steps"]) == SHOWN
    assert replayed["left_out"] > 0
