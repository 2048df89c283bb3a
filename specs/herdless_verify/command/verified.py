"""What `herdless verify` found, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, final

from herdless_core.invariants import INVARIANTS
from herdless_verify.checkers.findings import HAPPENS, NOT_TRIED, UNFINISHED, Finding
from herdless_verify.exploration.search import ACROSS_STEPS

HEADERS: Final = ("promise", "checker", "examined", "tried", "seconds", "verdict")
NUMBERS: Final = frozenset({2, 3, 4})
"""The columns that stand to the right."""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: one promise, one checker, all of its runs."""

    promise: str
    checker: str
    examined: str
    tried: int | None
    seconds: float
    verdict: str
    broken: Finding | None

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, in the order of HEADERS."""
        verdict = self.verdict if self.broken is None else self.broken.blame
        tried = "-" if self.tried is None else f"{self.tried:,}"
        return (self.promise, self.checker, self.examined, tried, f"{self.seconds:.1f}", verdict)


def row_of(promise: str, checker: str, group: list[Finding]) -> Row:
    """The findings of one promise by one checker in a row; the worst of them is its verdict."""
    counted = [finding.tried for finding in group if finding.tried is not None]
    tried = sum(counted) if counted else None
    verdict = group[0].verdict
    if any(finding.is_unfinished for finding in group):
        verdict = UNFINISHED
    elif tried == 0:
        verdict = NOT_TRIED
    broken = next((finding for finding in group if finding.blame), None)
    if broken is None and tried == 0 and group[0].unit == "contract":
        broken = replace(group[0], complaint=f"not tried by any of the {len(group)} contracts")
    return Row(
        promise,
        checker,
        examined(sum(finding.count for finding in group), group[0].unit),
        tried,
        sum(finding.seconds for finding in group),
        verdict,
        broken,
    )


@final
@dataclass(frozen=True, slots=True)
class Verification:
    """The findings of all checkers, and which checkers could not run."""

    policies: tuple[str, ...]
    findings: tuple[Finding, ...]
    missing: tuple[str, ...]
    looked_at: str = ""
    """What was looked at, in a line."""
    shortfalls: tuple[str, ...] = ()
    """By how much less was looked at than is pinned."""
    limits: tuple[str, ...] = ()
    """What the verdict assumes and leaves out."""
    meanings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By policy, what it means, in sentences."""

    @property
    def rows(self) -> list[Row]:
        """Promise by promise; what must be refuted comes last."""
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            found.setdefault((finding.promise, finding.checker), []).append(finding)
        order = list(dict.fromkeys((*INVARIANTS, *ACROSS_STEPS, *(finding.promise for finding in self.findings))))
        rows = [row_of(promise, checker, group) for (promise, checker), group in found.items()]
        return sorted(rows, key=lambda row: (row.verdict == HAPPENS, order.index(row.promise)))

    @property
    def broken(self) -> list[Row]:
        """The rows that are not as they should be."""
        return [row for row in self.rows if row.broken is not None]

    @property
    def unfinished(self) -> list[Row]:
        """The rows of which nothing is known, since a run came to no end."""
        return [row for row in self.rows if row.broken is None and row.verdict == UNFINISHED]

    @property
    def summary(self) -> str:
        """One line."""
        rows, broken, unfinished = self.rows, len(self.broken), len(self.unfinished)
        if broken:
            return f"{broken} of {len(rows)} are not as they should be."
        happen = sum(row.verdict == HAPPENS for row in rows)
        untried = sum(row.verdict == NOT_TRIED for row in rows)
        number = len(rows) - happen
        parts = [f"{number - untried - unfinished} of {number} hold"]
        parts += [f"{untried} {'is' if untried == 1 else 'are'} not tried"] * bool(untried)
        parts += [f"{unfinished} {'is' if unfinished == 1 else 'are'} not finished here"] * bool(unfinished)
        parts += [f"{happen} are refuted that must be"] * bool(happen)
        return ", ".join(parts) + "."


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
            yield f"\n{row.promise}, by {row.checker}: {row.broken.blame}"
            yield from (f"  {line}" for line in row.broken.counterexample)
    yield ""
    for name, sentences in verification.meanings.items():
        yield f"{name} means:"
        yield from (f"  {sentence}" for sentence in sentences)
        yield ""
    yield from verification.missing
    yield from (f"too little: {line}" for line in verification.shortfalls)
    yield from verification.limits
    yield verification.looked_at
    yield verification.summary


def _padded(cells: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    """The cells as wide as their columns, numbers to the right."""
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        yield cell.rjust(width) if column in NUMBERS else cell.ljust(width)
