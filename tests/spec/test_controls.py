"""Checks that have gone blind are noticed by `herdless verify` itself, where the user runs it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

import pytest

from herdless.__main__ import main
from herdless_core import Policy, Put
from herdless_core.invariants import INVARIANTS
from herdless_verify.checkers import checks, pins
from herdless_verify.checkers.findings import Work
from herdless_verify.checkers.pins import shortfalls
from herdless_verify.crosshair import contracts, samples
from herdless_verify.crosshair.contracts import Named, Numbers
from herdless_verify.exploration.search import ACROSS_STEPS, explore
from herdless_verify.mistakes import controls
from herdless_verify.tlc import mistaken
from herdless_verify.tlc.configurations import load_runs
from herdless_verify.tlc.tla import Operator, operator
from herdless_verify.tlc.watched import PATTERN

TABLE: Final = cast("dict[str, Any]", INVARIANTS)
FORMULAS: Final = (*load_runs()[PATTERN].invariants, *load_runs()[PATTERN].properties)


def verify() -> int:
    """Run the exploration of one policy as a user does; returns the exit status."""
    return main(["verify", "--quick", "--with", "explore", "--policy", "ttl=60,max_waiters=1"])


@pytest.mark.parametrize("promise", ["Bounded", "NoStaleRead", "AnsweredOnce"])
def test_a_predicate_that_returns_true_is_noticed(
    promise: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold of anything; what is judged beside it does not hide that."""
    monkeypatch.setitem(TABLE, promise, lambda _step: True)
    assert verify() == 1
    assert f"\n{promise}, by explore: its mistake is not refuted, so this check is blind: " in capsys.readouterr().out


def test_a_predicate_that_is_missing_is_noticed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody judges would be missed by nobody."""
    monkeypatch.delitem(TABLE, "TimeShift")
    assert verify() == 1
    printed = capsys.readouterr().out
    assert f"too little: {pins.PREDICATES - 1} predicates were looked at, and {pins.PREDICATES} are pinned" in printed
    assert "TimeShift, by explore: its mistake is not refuted" in printed


def test_an_exploration_that_judges_nothing_is_noticed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes everywhere and asks nothing."""
    monkeypatch.setattr(checks, "explore", partial(explore, invariants={}))
    assert verify() == 1
    printed = capsys.readouterr().out
    assert f"too little: 0 predicates were looked at, and {pins.PREDICATES} are pinned" in printed
    assert "NoStaleSet, by explore: not tried under ttl=60,max_waiters=1, which makes it possible" in printed


def test_a_world_that_is_smaller_than_pinned_is_noticed() -> None:
    """Fewer callers, fewer truths: everything holds in a world where nothing happens."""
    work = Work({}, quick=True)
    work.explored["ttl=60"] = explore(Policy(ttl=60), invariants={}, max_states=500)
    work.explored["ttl=1"] = explore(Policy(ttl=1), invariants={}, max_states=100)
    first, second = shortfalls(work, ())
    assert first.startswith("under ttl=60 ")
    assert first.endswith("and 3,881 and 69,730 are pinned")
    assert second.endswith("and 250 and 3,000 are pinned")


@pytest.mark.parametrize(
    ("checker", "unit", "quick", "pinned"),
    [
        ("tlc", "formulas", True, pins.FORMULAS),
        ("tlc", "formulas", False, pins.FORMULAS + pins.LIVE_FORMULAS),
        ("crosshair", "contracts", True, pins.QUICK_CONTRACTS),
        ("crosshair", "contracts", False, pins.CONTRACTS),
    ],
)
def test_a_configuration_without_formulas_and_a_list_without_contracts_are_noticed(
    checker: str, unit: str, quick: bool, pinned: int
) -> None:
    """A run that is asked nothing comes out well."""
    work = Work({}, quick=quick)
    work.looked["mistakes refuted"] = 100
    work.look(unit, map(str, range(pinned - 1)))
    assert list(shortfalls(work, [checker])) == [f"{pinned - 1} {unit} were looked at, and {pinned} are pinned"]
    work.look(unit, ["the last one"])
    assert list(shortfalls(work, [checker])) == []


def test_mistakes_that_are_no_longer_made_are_noticed() -> None:
    """A list of them that was emptied refutes nothing, and complains of nothing."""
    work = Work({}, quick=True)
    work.look("predicates", map(str, range(pins.PREDICATES)))
    pinned = pins.MISTAKES_OF_MACHINE
    assert list(shortfalls(work, ["explore"])) == [f"0 mistakes refuted were looked at, and {pinned} are pinned"]


def test_what_is_pinned_is_what_there_is() -> None:
    """A formula or contract more has its number written down, and a mistake of its own."""
    every = list(contracts.contracts())
    assert len(FORMULAS) == pins.FORMULAS
    assert len(load_runs()["loads_end"].properties) == pins.LIVE_FORMULAS
    assert len(every) == pins.CONTRACTS
    assert sum(checks.QUICK.issuperset(each.promises) for each in every) == pins.QUICK_CONTRACTS
    assert len(controls("predicates")) + len(controls("over_steps")) == pins.MISTAKES_OF_MACHINE
    assert set(controls("formulas")) == set(FORMULAS)
    assert set(controls("predicates")) == {*INVARIANTS, *ACROSS_STEPS}
    assert {each.control for each in every} == set(controls("contracts"))


@pytest.mark.usefixtures("tlc")
def test_a_formula_that_says_true_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all of them it alone refutes nothing; the others refute each its own mistake."""

    def blinded(name: str, module: str) -> Operator:
        found = operator(name, module)
        blind = {"NoStaleReadProp": "NoStaleReadProp == [][TRUE]_vars", "BoundedInv": "BoundedInv == TRUE"}
        return replace(found, text=blind.get(name, found.text))

    monkeypatch.setattr(mistaken, "operator", blinded)
    found = mistaken.look()
    assert (found.failure, set(found.blind)) == ("", {"NoStaleReadProp", "BoundedInv"})
    assert found.refuted == len(FORMULAS) - 2


@pytest.mark.parametrize("contract", list(contracts.contracts()), ids=lambda contract: contract.name)
def test_every_contract_is_tried_and_can_fail(contract: Named) -> None:
    """On a fixed sample: what its precondition lets through is pinned, and its mistake makes it false."""
    reached = samples.reach(contract)
    assert reached.possible == reached.pinned
    assert reached.is_refuted, reached.mistake
    assert sum(reached.tried.values()) > 0


def test_every_promise_of_a_step_is_tried_by_some_contract() -> None:
    """Not by every one: a Put has no late result."""
    tried = {promise for contract in contracts.contracts() for promise in samples.reach(contract).tried}
    assert tried >= {
        *INVARIANTS,
        "ReadIsGet",
        "JoinIsGet",
        "StartIsGet",
        "FillIsStep",
        "PeekIsGet",
        "Ageing",
        "Eviction",
    }


def of_put() -> Named:
    """The contract of a put."""
    return next(each for each in contracts.contracts() if each.kind is Put)


def test_a_precondition_that_is_made_narrower_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would confirm less, and say the same."""
    possible = contracts.is_possible

    def narrower(n: Numbers) -> bool:
        return possible(n) and n.waiters < 2

    monkeypatch.setattr(contracts, "is_possible", narrower)
    reached = samples.reach(of_put())
    assert reached.possible < reached.pinned


def test_a_contract_that_asks_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of no predicates hold."""
    monkeypatch.setattr(contracts, "OTHERS", ())
    assert not samples.reach(of_put()).is_refuted


def test_what_crosshair_leaves_undecided_is_not_refuted() -> None:
    """Nor is it confirmed: it has a word and an exit status of its own."""
    from herdless_verify.crosshair.symbolic import UNDECIDED, Result

    result = Result("Put", ("HitAge",), UNDECIDED, 300.0, "Not confirmed.")
    work = Work({}, quick=False)
    (finding,) = checks.confirmed(work, iter([result]), samples.reach(of_put()))
    assert finding.is_unfinished
    assert finding.blame == ""
