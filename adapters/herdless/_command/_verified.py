"""What `herdless verify` found, as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from herdless._verify.checks import ACROSS_STEPS
from herdless._verify.findings import HOLDS, Finding
from herdless_core._invariants import INVARIANTS

HEADERS: Final = ("promise", "checker", "examined", "seconds", "verdict")
NUMBERS: Final = frozenset({2, 3})
"""The columns that stand to the right."""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: one promise, one checker, all of its runs."""

    promise: str
    checker: str
    examined: str
    seconds: float
    verdict: str
    broken: Finding | None

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, in the order of HEADERS."""
        verdict = self.verdict if self.broken is None else self.broken.complaint
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
        """The findings of one promise by one checker in a row; the worst of them is its verdict. Promise by promise."""
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            found.setdefault((finding.promise, finding.checker), []).append(finding)
        order = list(dict.fromkeys((*INVARIANTS, *ACROSS_STEPS, *(finding.promise for finding in self.findings))))
        rows = [
            Row(
                promise,
                checker,
                examined(sum(finding.count for finding in group), group[0].unit),
                sum(finding.seconds for finding in group),
                group[0].verdict,
                next((finding for finding in group if finding.complaint), None),
            )
            for (promise, checker), group in found.items()
        ]
        return sorted(rows, key=lambda row: (row.verdict != HOLDS, order.index(row.promise)))

    @property
    def broken(self) -> list[Row]:
        """The rows that are not as they should be."""
        return [row for row in self.rows if row.broken is not None]

    @property
    def summary(self) -> str:
        """One line."""
        rows, broken = self.rows, len(self.broken)
        if broken:
            return f"{broken} of {len(rows)} are not as they should be."
        happen = sum(row.verdict != HOLDS for row in rows)
        refuted = f", {happen} are refuted that must be" if happen else ""
        return f"{len(rows) - happen} of {len(rows) - happen} hold{refuted}."


def examined(count: int, unit: str) -> str:
    """How much was looked at, in words."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def as_text(verification: Verification) -> str:
    """The table, what is missing, and the counterexamples."""
    return "\n".join(_lines(verification)) + "\n"


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
            yield from (f"  {line}" for line in row.broken.counterexample)
    yield ""
    yield from verification.missing
    yield verification.summary


def _padded(cells: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    """The cells as wide as their columns, numbers to the right."""
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        yield cell.rjust(width) if column in NUMBERS else cell.ljust(width)
