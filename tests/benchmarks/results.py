"""What a section hands back: tables to read, figures to judge goals by, plots for the docs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

Cell: TypeAlias = str | int | float | None

SECTIONS: Final = (
    "hit",
    "miss",
    "join",
    "parts",
    "herd",
    "fleet",
    "writes",
    "decorator",
    "bulk",
    "imports",
    "memory",
    "growth",
    "scaling",
    "sale",
    "hitratio",
)
"""What is measured, in this order; each is a module with a `run(plan)`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `quick` gives the same rows from fewer rounds and smaller numbers."""

    quick: bool = False

    @property
    def rounds(self) -> int:
        """How often each subject of an interleaved comparison runs."""
        return 5 if self.quick else 41

    def size(self, full: int, quick: int) -> int:
        """One of the two numbers."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Table:
    """One table; a cell of None is shown as a dash."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """All that one section found."""

    tables: tuple[Table, ...]
    figures: dict[str, float] = field(default_factory=dict)
    """By name; the goals are judged by these."""
    plots: dict[str, str] = field(default_factory=dict)
    """SVG text by file name."""
