"""`herdless soak --fleet`: what it prints, for people and for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from textwrap import wrap
from typing import Final

from herdless_verify.soak.fleet.run import FleetSoaked

WIDTH: Final = 80


def as_json(soaked: FleetSoaked, seconds: float) -> str:
    """For machines. seconds: that were asked for."""
    document = {
        "herdless": version("herdless"),
        "python": sys.version.split()[0],
        "parameters": {"seconds": seconds, "seed": soaked.seed},
        "fleet": asdict(soaked),
    }
    return json.dumps(document, indent=2) + "\n"


def as_text(soaked: FleetSoaked, seconds: float) -> str:
    """For people. seconds: that were asked for."""
    return "\n".join(_lines(soaked, seconds)) + "\n"


def _lines(soaked: FleetSoaked, seconds: float) -> Iterator[str]:
    policy = ", ".join(f"{name}={value}" for name, value in soaked.policy.items())
    yield f"Soak of a fleet of {seconds:g} s, seed {soaked.seed}, {policy}"
    yield ""
    yield _row("processes, those killed included", soaked.processes)
    yield _row("lookups", soaked.lookups)
    yield _row("loads", soaked.loads)
    yield _row("steps of records, all judged", soaked.steps)
    yield _row("flights taken over", soaked.takeovers)
    yield from _table("What was done to them", soaked.faults)
    yield from _table("What callers were told", soaked.answers)
    yield ""
    for text in _verdict(soaked, seconds):
        yield from wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _verdict(soaked: FleetSoaked, seconds: float) -> Iterator[str]:
    if not soaked.violations:
        yield (
            "No promise was broken: the records are chains of the machine's own steps, nothing was told that was older "
            "than `staleness` allows, and everybody was answered."
        )
        return
    yield f"BROKEN ({soaked.violations:,} times): {soaked.first_violation}"
    yield f"Again: herdless soak --fleet --seconds {seconds:g} --seed {soaked.seed}"


def _table(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    yield ""
    yield title
    for name, count in counts.items():
        yield _row(f"  {name}", count)


def _row(name: str, count: int) -> str:
    return f"{name:<36}{count:>10,}"
