"""The feature x runtime matrix, made from the scenarios and their exemptions: docs/runtimes.md."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Final

from tests.contract import test_decisions, test_interleavings, test_promises
from tests.contract.drivers import WORLDS
from tests.contract.exemptions import EXEMPT

PARTS: Final = {
    "Promises": test_promises,
    "Decisions": test_decisions,
    "Interleavings in which other caches broke": test_interleavings,
}

INTRODUCTION: Final = """\
# What every runtime does

Each row is a scenario of the contract suite in tests/contract/, written once and run in every runtime without a sleep:
loads end when the scenario says so, time moves when it says so. "yes": it runs there and passes. A number: it cannot
apply there, and why is said below. What only one runtime can do is in tests/runtimes/. This page is generated:
`pytest tests/contract --rewrite`.
"""


def scenarios(module: ModuleType) -> list[str]:
    """The names of the module's scenarios, in their order."""
    return [
        name for name, item in vars(module).items() if name.startswith("test_") and inspect.iscoroutinefunction(item)
    ]


def render() -> str:
    """The page."""
    reasons: list[str] = []
    lines = [INTRODUCTION]
    for title, module in PARTS.items():
        lines += [f"## {title}", "", _row("", [world.name for world in WORLDS]), "|---" * (len(WORLDS) + 1) + "|"]
        for name in scenarios(module):
            exempt = EXEMPT.get(name, {})
            reasons += [reason for reason in exempt.values() if reason not in reasons]
            cells = [str(reasons.index(exempt[w.name]) + 1) if w.name in exempt else "yes" for w in WORLDS]
            lines.append(_row(name.removeprefix("test_").replace("_", " "), cells))
        lines.append("")
    lines += ["## Why not", ""]
    lines += [f"{number}. {reason[0].upper()}{reason[1:]}." for number, reason in enumerate(reasons, 1)]
    return "\n".join(lines) + "\n"


def _row(head: str, cells: list[str]) -> str:
    return f"| {' | '.join([head, *cells])} |"
