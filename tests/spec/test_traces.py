"""Traces of the real adapters are behaviours of the specification; traces that are wrong in one thing are not."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdless.__main__ import main
from herdless.trace import TraceWriter, departure, read_trace
from herdless_core import (
    ABSENT,
    Flight,
    Get,
    Invalidate,
    Keyspace,
    Loaded,
    LoadSucceeded,
    Pending,
    Policy,
    Put,
    Restarted,
    Step,
    entries_of,
    record_of,
    transition,
    value_in,
)
from herdless_verify.tlc.scale import END_OF_TIME, OutsideOfSpecification, Scale
from herdless_verify.tlc.traces import Validation, validate
from herdless_verify.tlc.traces import main as traces_main
from tests.trace.mutants import MUTANTS, as_text, base, mutated
from tests.trace.runs import recorded
from tests.trace.test_durable import POLICY, Owner

SECOND = 1_000_000_000
SEEDS = 17
RUNTIMES = ("asyncio", "trio", "threads")


def real_traces() -> Iterator[tuple[str, list[str]]]:
    """More than a hundred runs of the real adapters, each under another schedule."""
    for runtime in RUNTIMES:
        for policy in ("stale", "early"):
            for seed in range(SEEDS):
                yield f"{runtime} {policy} {seed}", recorded(runtime, policy, seed)


def irregular(seed: int) -> list[str]:
    """A trace with every instant somewhere between two seconds, as on a real clock; nobody's timer is in time."""
    lines: list[str] = []
    dice, now = random.Random(seed), random.Random(seed).randrange(10**18)
    policy = Policy(ttl=3, stale_while_revalidate=1, load_timeout=2, negative_ttl=1)
    keyspace = Keyspace[str](policy, observe=TraceWriter(lines.append))
    for _ in range(40):
        now += dice.choice((1, 1, dice.randrange(2 * SECOND)))
        generations = list(keyspace.flights)
        done = dice.randrange(8)
        if done < 3 or not generations:
            keyspace.get("a", now)
        elif done == 3:
            keyspace.load_succeeded(dice.choice(generations), object(), now)
        elif done == 4:
            keyspace.load_failed(dice.choice(generations), ValueError(), now)
        elif done == 5:
            keyspace.deadline_passed(dice.choice(generations), now)
        elif done == 6:
            keyspace.restarted(dice.choice(generations), now)
        else:
            dice.choice((keyspace.invalidate, keyspace.expire))("a", now)
    return lines


def of_two_owners() -> list[str]:
    """Durable entries: killed in the middle of a refresh, and the next owner goes on from what was saved."""
    lines: list[str] = []
    owner = Owner(lines)
    saved = owner.load(1, "x")
    owner.step(Get(2), now=61 * SECOND)
    successor = Owner(lines)
    successor.step(Restarted(), now=62 * SECOND, before=saved)
    successor.step(Get(3), now=62 * SECOND)
    successor.step(LoadSucceeded(3, "y", POLICY.lifetime), now=63 * SECOND)
    return lines


def of_a_replaced_owner() -> list[str]:
    """Durable entries: an owner finds that another one has put a value, while callers wait for two of its flights."""
    lines: list[str] = []
    other, owner = Owner([]), Owner(lines)
    put = other.step(Put("theirs", POLICY.lifetime))
    owner.step(Restarted(), before=ABSENT)
    invalidated, _ = transition(owner.step(Get(1)), Invalidate(), 0, POLICY)
    owner.step(Invalidate())
    owner.step(Get(2), now=SECOND)
    found = owner.step(Restarted(), now=2 * SECOND, before=put)
    owner.step(LoadSucceeded(1, "x", POLICY.lifetime), now=3 * SECOND, before=invalidated)
    owner.entry = found
    owner.step(LoadSucceeded(2, "y", POLICY.lifetime), now=3 * SECOND)
    owner.step(Invalidate(), now=4 * SECOND)
    return lines


def of_a_restored_cache() -> list[str]:
    """A cache holds again what another one held: a fresh value, a stale one, and one in the place of a dead one."""
    lines: list[str] = []
    policy = Policy(ttl=3, stale_while_revalidate=2)
    other = Keyspace[str](policy)
    other.put("dead", "x", 3 * SECOND)  # in the place of a dead one, and so before a sweep comes by
    other.put("stale", "x", 0)
    other.put("fresh", "x", 3 * SECOND)
    at = 4 * SECOND
    held = {key: value_in(entry, at) for key, entry in other.snapshot()}
    records = [record_of(key, entry, at, 0) for key, entry in held.items() if entry is not None]
    keyspace = Keyspace[str](policy, observe=TraceWriter(lines.append))
    keyspace.put("dead", "y", 0)
    now = 50 * SECOND + 7
    assert len(keyspace.restore_all(entries_of(records, now, 0.5, 0, policy, str), now)) == len(records) == 3
    for key in ("stale", "fresh", "dead"):
        keyspace.get(key, now)
    keyspace.load_succeeded(1, "new", now + SECOND)
    keyspace.expire("fresh", now + SECOND)
    for key in ("fresh", "dead"):
        keyspace.get(key, now + 2 * SECOND)
    return lines


def without_the_settlement(lines: list[str]) -> list[str]:
    """The same, but nobody is told."""
    last = json.loads(lines[-1])
    last["effects"] = [effect for effect in last["effects"] if effect["effect"] != "Settle"]
    return [*lines[:-1], json.dumps(last)]


@pytest.fixture(scope="module")
def validation(tlc: None) -> Validation:
    """All traces of this module, at once: right ones, and mutants."""
    traces = dict(real_traces())
    traces |= {f"irregular {seed}": irregular(seed) for seed in range(5)}
    traces |= {"base": as_text(base()), "two owners": of_two_owners()}
    traces["replaced owner"] = of_a_replaced_owner()
    traces["restored"] = of_a_restored_cache()
    traces |= {f"mutant {name}": mutated(name)[0] for name in MUTANTS}
    traces["mutant two owners"] = without_the_settlement(of_two_owners())
    return validate({name: read_trace(lines) for name, lines in traces.items()})


def test_real_runs_are_behaviours_of_the_specification(validation: Validation) -> None:
    """What the adapters do under more than a hundred schedules, key by key; and what a real clock would show."""
    wrong = [str(departed) for departed in validation.departed if not departed.trace.startswith("mutant")]
    assert wrong == []
    assert validation.left_out == []
    assert len(RUNTIMES) * 2 * SEEDS > 100
    assert validation.followed > 200
    assert validation.moves > 5_000


@pytest.mark.parametrize("name", [*MUTANTS, "two owners"])
def test_mutant_is_none(validation: Validation, name: str) -> None:
    """TLC names the trace and the line that the replay names too."""
    (departed,) = [each for each in validation.departed if each.trace == f"mutant {name}"]
    if name in MUTANTS:
        assert departed.line == mutated(name)[1]


def test_command_shows_both_verdicts(tlc: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`herdless trace --tlc` says what the replay found, and then what TLC did."""
    file = tmp_path / "users.trace"
    file.write_text("".join(mutated("no_refresh")[0]), encoding="utf-8")
    assert main(["trace", str(file), "--tlc"]) == 1
    replay, by_tlc = capsys.readouterr().out.split("TLC:", 1)
    assert "departs at line 12" in replay
    assert "departs at line 12" in by_tlc
    assert "TLC: 0 of 1 keys are behaviours of the specification" in by_tlc


def test_many_files_at_once(
    tlc: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m herdless_verify.tlc.traces` takes whatever a test run has left, and says of which file it speaks."""
    files = {"right": as_text(base()), "wrong": mutated("no_refresh")[0], "neither": ["hello\n"]}
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for arguments, status, says in (
        (["right", "wrong"], 1, "wrong departs at line 12"),
        (["right", "neither"], 2, "neither: line 1 is not JSON: 'hello'"),
    ):
        monkeypatch.setattr(sys, "argv", ["herdless_verify.tlc.traces", *arguments])
        assert traces_main() == status
        assert says in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(5))
def test_irregular_traces_are_right_for_the_machine_too(seed: int) -> None:
    """So that what TLC is given is worth its while."""
    lines = irregular(seed)
    assert len(lines) > 25
    assert departure(read_trace(lines)) is None


def test_restored_values_are_right_for_the_machine_too() -> None:
    """A cache that was warmed is no trace that departs; one that has a value from nowhere is."""
    lines = of_a_restored_cache()
    events = [json.loads(line)["event"]["event"] for line in lines[1:7]]
    assert events == ["Put", "Evict", "Restarted", "Restarted", "Restarted", "Get"]
    assert departure(read_trace(lines)) is None
    assert json.loads(lines[6])["before"]["state"] == "stale"
    departed = departure(read_trace([*lines[:2], *lines[6:]]))
    assert departed is not None
    assert departed.line == 3


def test_what_the_specification_does_not_know_is_left_out_with_the_reason(tlc: None) -> None:
    """Nothing is left out silently."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(ttl=60), observe=TraceWriter(lines.append))
    keyspace.put("chance", Loaded("x", ttl=59.123456789), 0)
    keyspace.get("both ways", 0)
    keyspace.get("both ways", 0)
    for can_cancel in (True, False):
        keyspace.waiter_left(1, 0, can_cancel=can_cancel)
    fine: list[str] = []
    unmeasurable = Keyspace[str](Policy(ttl=60, refresh_backoff=1e-9), observe=TraceWriter(fine.append))
    unmeasurable.put("fine", "x", 0)
    validation = validate({"first": read_trace(lines), "second": read_trace(fine)})
    assert validation.runs == 0
    reasons = validation.left_out
    for key, reason in (
        ("'chance'", "more than TLC's integers hold"),
        ("'both ways'", "at one time and not at another"),
        ("'fine'", "more than TLC's integers hold"),
    ):
        assert any(key in line and reason in line for line in reasons)


def of_values_with_lifetimes_of_their_own() -> list[str]:
    """Puts and loads that say for how long, one after the other, and lookups after each of their boundaries."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(ttl=60, stale_if_error=5, early_refresh=0.5), observe=TraceWriter(lines.append))
    keyspace.put("a", Loaded("x", ttl=10, stale_while_revalidate=7), 0)
    for at in (4, 5, 11):
        keyspace.get("a", at * SECOND)
    keyspace.load_succeeded(1, Loaded("y", ttl=0, stale_if_error=3), 12 * SECOND)
    keyspace.get("a", 13 * SECOND)
    keyspace.load_succeeded(2, "z", 14 * SECOND)
    for at in (42, 43, 74):
        keyspace.get("a", at * SECOND)
    return lines


def test_values_with_lifetimes_of_their_own_are_behaviours_too(tlc: None) -> None:
    """`Loaded(ttl=...)` is the machine's own affair, and so the specification's."""
    validation = validate({"own": read_trace(of_values_with_lifetimes_of_their_own())})
    assert validation.left_out == []
    assert validation.followed == 1


def test_a_value_that_lives_longer_than_was_said_departs(tlc: None) -> None:
    """An adapter that stores it for the policy's ttl keeps what its loader says is old."""
    lines = of_values_with_lifetimes_of_their_own()
    put = json.loads(lines[1])
    put["event"]["lifetime"]["ttl"] *= 2
    validation = validate({"own": read_trace([lines[0], json.dumps(put), *lines[2:]])})
    (departed,) = validation.departed
    assert departed.line == 2


@given(
    durations=st.lists(st.integers(0, 6), min_size=3, max_size=3),
    nows=st.lists(st.integers(0, 5 * SECOND), min_size=2, max_size=8).map(sorted),
)
def test_scale_keeps_every_comparison(durations: list[int], nows: list[int]) -> None:
    """An instant is past on the scale if it is past in the trace, and two compare alike: nothing is rounded."""
    ttl, window, timeout = durations
    policy = Policy(ttl=ttl, stale_while_revalidate=window, load_timeout=timeout or None)
    flights = [Pending(Flight(1, now, now + timeout * SECOND, 1)) for now in nows]
    steps = [Step(ABSENT, Restarted(), now, policy, flight, ()) for now, flight in zip(nows, flights, strict=True)]
    scale = Scale(policy, steps)
    instants = [began + duration * SECOND for began in nows for duration in (0, ttl, ttl + window, timeout)]
    for now in nows:
        left = [scale.until(instant, now) for instant in instants]
        assert [each > 0 for each in left] == [instant > now for instant in instants]
        assert sorted(range(len(instants)), key=lambda i: (left[i], i)) == sorted(
            range(len(instants)), key=lambda i: (max(instants[i], now), i)
        )
        assert max(left) < END_OF_TIME
    with pytest.raises(OutsideOfSpecification):
        Scale(Policy(ttl=10**6, load_timeout=1e-9), steps)
