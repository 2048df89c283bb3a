"""The page that is made from the scenarios and the exemptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from herdless_verify.contract import PARTS
from tests.contract.drivers import WORLDS
from tests.contract.matrix import render

PAGE = Path(__file__).parents[2] / "docs" / "runtimes.md"


def test_matrix_is_up_to_date(request: pytest.FixtureRequest) -> None:
    """The page says what the suite does; `--rewrite` writes it."""
    if request.config.getoption("--rewrite"):
        PAGE.write_text(render(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == render()


def test_every_scenario_runs_somewhere() -> None:
    """A scenario that every runtime is exempt from is none."""
    names = {scenario.__name__ for part in PARTS.values() for scenario in part}
    assert not {name for name in names if all(name in world.exempt for world in WORLDS.values())}
