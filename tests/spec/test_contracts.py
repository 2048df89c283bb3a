"""CrossHair confirms every contract of the machine over all paths, and refutes a broken machine."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType
from typing import Final, cast

import pytest

from herdless_core import _machine
from herdless_core.table import EVENTS
from herdless_verify.crosshair import contracts, symbolic
from herdless_verify.exploration.world import Machine
from herdless_verify.mistakes import load_mutants

if importlib.util.find_spec("crosshair") is None and os.environ.get("HERDLESS_NO_SKIP") != "1":
    pytest.skip("crosshair-tool is not installed", allow_module_level=True)

CONTRACTS: Final = [contract.name for contract in contracts.contracts(_machine)]


def test_every_contract_is_confirmed() -> None:
    """For all entries, instants and policies, not for a sample; "not confirmed" is a failure."""
    found = list(symbolic.results())
    assert [result.contract for result in found] == CONTRACTS
    assert [result for result in found if not result.is_confirmed] == []


def test_every_event_has_its_contracts() -> None:
    """A contract that is missing confirms nothing."""
    assert (
        len(CONTRACTS) == len(set(CONTRACTS)) == 2 * len(EVENTS) - 1 + len(contracts.PARTS) + len(contracts.DUTIES) + 8
    )


def test_a_machine_that_is_off_by_one_is_refuted() -> None:
    """What CrossHair confirms, it could also refuse: a hit one nanosecond too long is found."""
    broken = ModuleType("broken")
    vars(broken).update(vars(_machine))
    vars(broken)["read"] = lambda entry, now: _machine.read(entry, now - 1)
    refuted = list(symbolic.results(cast("Machine", broken), lambda contract: "ReadIsGet" in contract.promises))
    assert [result.verdict for result in refuted] == ["POST_FAIL"]


def test_what_a_program_has_loaded_beside_the_machine_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """CrossHair looks for classes in all modules; objects that are set up at the first look may raise there."""

    class Lazy:
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError("it is not configured")

    foreign = ModuleType("foreign")
    vars(foreign)["settings"] = Lazy()
    monkeypatch.setitem(sys.modules, "foreign", foreign)
    (confirmed,) = symbolic.results(only=lambda contract: "ReadIsGet" in contract.promises)
    assert confirmed.is_confirmed


def test_what_is_refuted_is_told_by_promise_and_step() -> None:
    """CrossHair gives two dozen numbers; a reader wants to know which promise they break, and by which step."""
    mutant = next(each for each in load_mutants() if each.name == "an entry is evicted while callers wait")
    (refuted,) = symbolic.results(
        mutant.machine(), lambda contract: contract.name == "Evict: all invariants but TimeShift"
    )
    assert "PendingIsNoVictim" in refuted.promises
    assert [line.partition(":")[0] for line in refuted.counterexample] == ["before", "event", "after", "orders"]
    assert refuted.counterexample[2] == "after:  Evicted, evicted"
