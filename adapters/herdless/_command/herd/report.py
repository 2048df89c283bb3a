"""What the runs came to: for machines, and for people as one list of lines that is printed in two ways."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from herdless._command._terminal import printable
from herdless._command.herd.runs import PLAIN, Run

HEADERS: Final = ("runtime", "cache", "callers", "origin queries", "generations", "p50 ms", "p99 ms")
FORMATS: Final = ("<7", "<9", ">7", ">14", ">11", ">9", ">9")


def document(runs: Sequence[Run], left_out: Mapping[str, str], **parameters: object) -> dict[str, Any]:
    """Everything there is to say of the runs, ready for JSON. Durations in seconds. left_out: why, by runtime."""
    return {
        "herdless": version("herdless"),
        "python": sys.version.split()[0],
        "origin": runs[0].origin.name,
        "parameters": parameters | {"ttl": {run.plan.phase: run.plan.ttl for run in runs}},
        "rows": [_row(run) for run in runs],
        "left_out": dict(left_out),
        "violations": [f"{run.plan.phase}, {run.runtime}: {what}" for run in runs for what in run.violations()],
    }


def _row(run: Run) -> dict[str, Any]:
    latencies = sorted(run.latencies)
    return {
        "phase": run.plan.phase,
        "about": run.plan.about,
        "runtime": run.runtime,
        "cache": run.cache,
        "callers": len(latencies),
        "queries": len(run.loads),
        "generations": None if run.cache == PLAIN else len(run.begun),
        "p50": latencies[len(latencies) * 50 // 100],
        "p99": latencies[len(latencies) * 99 // 100],
    }


def as_text(report: Mapping[str, Any]) -> str:
    """The document for people: in colours where rich (the extra `cli`) is installed and stdout is a terminal."""
    try:
        from rich.console import Console
    except ImportError:
        return "".join(f"{line}\n" for _, line in _lines(report))
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)
    with console.capture() as captured:
        for style, line in _lines(report):
            console.print(line, style=style)
    return captured.get()


def _lines(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each with its style."""
    rows, broken = report["rows"], report["violations"]
    yield "dim", printable(f"origin: {report['origin']}")
    yield from (("yellow", f"left out: {why}") for why in report["left_out"].values())
    for about in dict.fromkeys(row["about"] for row in rows):
        yield "bold", f"\n{about}"
        yield "dim", _aligned(HEADERS)
        for row in (row for row in rows if row["about"] == about):
            counts = ("" if row[of] is None else f"{row[of]:,}" for of in ("callers", "queries", "generations"))
            times = (f"{row[of] * 1e3:,.3f}" for of in ("p50", "p99"))
            style = "dim" if row["cache"] == PLAIN else "bold"
            yield style, _aligned((row["runtime"], row["cache"], *counts, *times))
    begun, seen = (sum(row[of] for row in rows if row["cache"] != PLAIN) for of in ("generations", "queries"))
    checked = f"\nChecked: {begun:,} generations begun by herdless, {seen:,} loads seen by the origin."
    yield from (("bold red", f"BROKEN: {what}") for what in broken) if broken else [("bold green", checked)]


def _aligned(cells: Sequence[str]) -> str:
    return "  ".join(map(format, cells, FORMATS))
