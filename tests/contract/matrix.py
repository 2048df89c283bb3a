"""The feature x runtime matrix, made from the scenarios and their exemptions: docs/runtimes.md."""

from __future__ import annotations

from typing import Final

from herdless_verify.contract import PARTS
from tests.contract.drivers import WORLDS

INTRODUCTION: Final = """\
# What every runtime does

Each row is a scenario of the contract suite in specs/herdless_verify/contract/, written once and run in every
runtime without a sleep: loads end when the scenario says so, time moves when it says so. "yes": it runs there and
passes. A number: it cannot apply there, and why is said below. What only one runtime can do is in tests/runtimes/ and
tests/durable_objects/; there, in real workerd, the suite runs as well.
The suite is open to [other adapters](testing.md#the-contract-suite). This page is generated:
`pytest tests/contract --rewrite`.
"""


def render() -> str:
    """The page."""
    reasons: list[str] = []
    lines = [INTRODUCTION]
    for title, scenarios in PARTS.items():
        lines += [f"## {title}", "", _row("", list(WORLDS)), "|---" * (len(WORLDS) + 1) + "|"]
        for scenario in scenarios:
            cells = [_cell(world.exempt.get(scenario.__name__), reasons) for world in WORLDS.values()]
            lines.append(_row(scenario.__name__.removeprefix("test_").replace("_", " "), cells))
        lines.append("")
    lines += ["## Why not", ""]
    lines += [f"{number}. {reason[0].upper()}{reason[1:]}." for number, reason in enumerate(reasons, 1)]
    return "\n".join(lines) + "\n"


def _cell(exemption: str | None, reasons: list[str]) -> str:
    if exemption is None:
        return "yes"
    if exemption not in reasons:
        reasons.append(exemption)
    return str(reasons.index(exemption) + 1)


def _row(head: str, cells: list[str]) -> str:
    return f"| {' | '.join([head, *cells])} |"
