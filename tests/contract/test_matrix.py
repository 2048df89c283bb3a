"""The table of exemptions, and the page that is made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.drivers import WORLDS
from tests.contract.exemptions import EXEMPT
from tests.contract.matrix import PARTS, render, scenarios

PAGE = Path(__file__).parents[2] / "docs" / "runtimes.md"


def test_matrix_is_up_to_date(request: pytest.FixtureRequest) -> None:
    """The page says what the suite does; `--rewrite` writes it."""
    if request.config.getoption("--rewrite"):
        PAGE.write_text(render(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == render()


def test_exemptions_name_scenarios_and_runtimes() -> None:
    """An exemption for a scenario that was renamed would exempt nothing, and hide that."""
    known = {name for module in PARTS.values() for name in scenarios(module)}
    runtimes = {world.name for world in WORLDS}
    assert EXEMPT.keys() <= known
    for exempt in EXEMPT.values():
        assert exempt.keys() < runtimes, "a scenario that runs nowhere is none"
