"""The report of a soak, for people and for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from textwrap import wrap
from typing import Final, final

from herdless_verify.soak.findings import Soaked
from herdless_verify.soak.memory import BLOCKS_LIMIT, RSS_LIMIT

HEADERS: Final = (
    "runtime",
    "lookups",
    "loads",
    "steps\njudged",
    "faults\ninjected",
    "violations",
    "flights\nleaked",
    "RSS\ngrowth",
)
WIDTHS: Final = (7, 9, 8, 9, 8, 10, 7, 8)
NAME_WIDTH: Final = 30
COUNT_WIDTH: Final = 10
WIDTH: Final = 80


@final
@dataclass(frozen=True, slots=True)
class SoakReport:
    """Everything there is to say of a soak."""

    seconds: float
    """That were asked for."""
    seed: int
    soaked: Sequence[Soaked]
    left_out: Mapping[str, str]
    """Why, by runtime."""

    @property
    def violations(self) -> list[str]:
        """The first one of each runtime that had any."""
        return [f"{each.runtime}: {each.first_violation}" for each in self.soaked if each.violations]


def as_json(report: SoakReport) -> str:
    """For machines. Durations in seconds, memory in bytes."""
    document = {
        "herdless": version("herdless"),
        "python": sys.version.split()[0],
        "has_gil": has_gil(),
        "parameters": {"seconds": report.seconds, "seed": report.seed},
        "leak_limits": {"rss_bytes": RSS_LIMIT, "python_blocks": BLOCKS_LIMIT},
        "runtimes": [asdict(each) for each in report.soaked],
        "left_out": report.left_out,
        "violations": report.violations,
    }
    return json.dumps(document, indent=2) + "\n"


def show(report: SoakReport) -> str:
    """For people: with colours where rich is installed (the extra `cli`) and stdout is a terminal."""
    text = "\n".join(_lines(report)) + "\n"
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        return text
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    with console.capture() as captured:
        for line in text.splitlines():
            console.print(Text(line, _style(line)))
    return captured.get()


def has_gil() -> bool:
    """Whether threads take turns in this interpreter; on a free-threaded build they run at once."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _style(line: str) -> str:
    if line.startswith("BROKEN"):
        return "bold red"
    if line.startswith(("No promise", "Soak of")):
        return "bold green" if line.startswith("No") else "bold"
    return ""


def _lines(report: SoakReport) -> Iterator[str]:
    python = f"Python {sys.version.split()[0]}, " + ("with the GIL" if has_gil() else "free-threaded")
    yield f"Soak of {report.seconds:g} s, seed {report.seed}, {python}"
    for why in report.left_out.values():
        yield f"left out: {why}"
    yield ""
    yield _row([header.partition("\n")[0] if "\n" in header else "" for header in HEADERS])
    yield _row([header.rpartition("\n")[2] for header in HEADERS])
    for each in report.soaked:
        yield _row(_cells(each))
    yield from _table("What was done to them", report, [each.faults for each in report.soaked])
    yield from _table("What callers were told", report, [each.answers for each in report.soaked])
    yield ""
    for text in _verdict(report):
        yield from wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _cells(each: Soaked) -> list[str]:
    counts = (each.lookups, each.loads, each.steps, sum(each.faults.values()), each.violations, each.leaked_flights)
    return [each.runtime, *(f"{count:,}" for count in counts), _size(each.memory.rss_growth)]


def _row(cells: Sequence[str]) -> str:
    first, *others = zip(cells, WIDTHS, strict=True)
    return "  ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]).rstrip()


def _table(title: str, report: SoakReport, counts: Sequence[Mapping[str, int]]) -> Iterator[str]:
    yield ""
    yield _named(title, [each.runtime for each in report.soaked])
    for name in sorted({name for each in counts for name in each}):
        yield _named(name, [f"{each[name]:,}" if name in each else "-" for each in counts])


def _named(name: str, cells: Sequence[str]) -> str:
    return f"{name:<{NAME_WIDTH}}" + "".join(f"{cell:>{COUNT_WIDTH}}" for cell in cells)


def _verdict(report: SoakReport) -> Iterator[str]:
    if not report.violations:
        rounds = sum(each.rounds for each in report.soaked)
        yield f"No promise was broken; all {rounds:,} rounds came to their end, and nothing is left."
        return
    for what in report.violations:
        yield f"BROKEN: {what}"
    for each in report.soaked:
        if each.violations:
            yield f"Again: herdless soak --runtime {each.runtime} --seconds {report.seconds:g} --seed {report.seed}"


def _size(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 2**20:.1f} MiB"
