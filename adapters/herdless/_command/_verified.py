"""What `herdless verify` found, as text and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from typing import Final, final

from herdless._verify.checks import ACROSS_STEPS, Finding
from herdless._verify.specs import specs
from herdless_core._invariants import INVARIANTS

HEADERS: Final = ("promise", "checker", "examined", "seconds", "verdict")

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; vertical-align: top }
td:nth-child(3), td:nth-child(4) { text-align: right; font-variant-numeric: tabular-nums }
.broken { background: #ffebe9 } pre { background: #f6f8fa; padding: 1rem; overflow-x: auto } svg { max-width: 100% }
"""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: one promise, one checker, all of its runs."""

    promise: str
    checker: str
    examined: str
    seconds: float
    broken: Finding | None

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, in the order of HEADERS."""
        verdict = "holds" if self.broken is None else self.broken.complaint
        return (self.promise, self.checker, self.examined, f"{self.seconds:.1f}", verdict)


@final
@dataclass(frozen=True, slots=True)
class Verification:
    """The findings of all checkers, and which checkers could not run."""

    policies: tuple[str, ...]
    findings: tuple[Finding, ...]
    missing: tuple[str, ...]

    @property
    def rows(self) -> list[Row]:
        """The findings of one promise by one checker in a row; the worst of them is its verdict."""
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            found.setdefault((finding.promise, finding.checker), []).append(finding)
        return [
            Row(
                promise,
                checker,
                _sum([finding.examined for finding in group]),
                sum(finding.seconds for finding in group),
                next((finding for finding in group if finding.complaint), None),
            )
            for (promise, checker), group in found.items()
        ]

    @property
    def broken(self) -> list[Row]:
        """The rows that do not hold."""
        return [row for row in self.rows if row.broken is not None]


def as_text(verification: Verification) -> str:
    """The table, what is missing, and the counterexamples."""
    return "\n".join(_lines(verification)) + "\n"


def as_html(verification: Verification) -> str:
    """One page that needs nothing else: the state graph, the promises, the runs."""
    promises = "".join(f"<tr><td>{name}</td><td>{escape(said)}</td></tr>" for name, said in promised().items())
    rows = "".join(_html_row(row) for row in verification.rows)
    failures = "".join(
        f"<h3>{escape(row.promise)}, by {row.checker}</h3><pre>{escape(chr(10).join(row.broken.counterexample))}</pre>"
        for row in verification.broken
        if row.broken is not None
    )
    missing = "".join(f"<p><strong>{escape(line)}</strong></p>" for line in verification.missing)
    headers = "".join(f"<th>{header}</th>" for header in HEADERS)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>herdless verify</title><style>{STYLE}</style>'
        f"<h1>herdless {version('herdless')}: verified</h1>"
        f"<p>Policies: {escape('; '.join(verification.policies))}. {_summary(verification)}</p>{missing}"
        f"<h2>The states of an entry</h2>{specs('diagram').svg()}"
        f"<h2>What is promised</h2><table>{promises}</table>"
        f"<h2>What was checked</h2><table><tr>{headers}</tr>{rows}</table>{failures}</html>\n"
    )


def promised() -> dict[str, str]:
    """Every promise with its first sentences, from the docstring of its predicate."""
    said = {name: " ".join((holds.__doc__ or "").split("\n\n")[0].split()) for name, holds in INVARIANTS.items()}
    return said | ACROSS_STEPS


def _html_row(row: Row) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in row.cells)
    return f"<tr{' class=broken' if row.broken is not None else ''}>{cells}</tr>"


def _lines(verification: Verification) -> Iterator[str]:
    table = [HEADERS, *(row.cells for row in verification.rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADERS))]
    yield f"policies: {'; '.join(verification.policies)}"
    yield ""
    for number, cells in enumerate(table):
        yield "  ".join(_padded(cells, widths)).rstrip()
        if number == 0:
            yield "-" * (sum(widths) + 2 * (len(widths) - 1))
    for row in verification.broken:
        if row.broken is not None:
            yield f"\n{row.promise}, by {row.checker}: {row.broken.complaint}"
            yield from (f"  {number:2}  {step}" for number, step in enumerate(row.broken.counterexample, start=1))
    yield ""
    yield from verification.missing
    yield _summary(verification)


def _padded(cells: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    """The cells as wide as their columns, numbers to the right."""
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        yield cell.rjust(width) if column in (2, 3) else cell.ljust(width)


def _summary(verification: Verification) -> str:
    broken = len(verification.broken)
    judged = len(verification.rows)
    return f"{judged - broken} of {judged} hold." if broken else f"All {judged} hold."


def _sum(examined: list[str]) -> str:
    """Adds up "12 states" and "30 states"; what is no number stays as it is."""
    count, _, unit = examined[0].partition(" ")
    if not count.replace(",", "").isdigit():
        return examined[0]
    return f"{sum(int(each.partition(' ')[0].replace(',', '')) for each in examined):,} {unit}"
