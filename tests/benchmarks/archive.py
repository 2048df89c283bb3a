"""The results behind docs/performance.md: kept as JSON, section by section, and written into the page from there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import herdless
from tests.benchmarks import goals, report
from tests.benchmarks.results import SECTIONS, Result, Table

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "performance.md"
PLOTS: Final = DOCS / "performance"
ARCHIVE: Final = PLOTS / "results.json"

COMPILED: Final = "compiled "
"""Begins the names of sections that were measured with the compiled library."""

BEGIN: Final = "<!-- generated: python -m tests.benchmarks --docs -->"
END: Final = "<!-- end of the generated part -->"


def as_data(result: Result, machine: str) -> dict[str, Any]:
    """One section as plain data."""
    return {
        "machine": machine,
        "tables": [asdict(table) for table in result.tables],
        "figures": result.figures,
        "plots": sorted(result.plots),
    }


def load() -> dict[str, Any]:
    """All sections that were kept."""
    sections: dict[str, Any] = json.loads(ARCHIVE.read_text(encoding="utf-8")) if ARCHIVE.exists() else {}
    return sections


def keep(results: dict[str, Result], machine: str) -> None:
    """Put these sections in the place of their last ones, and write page and plots."""
    PLOTS.mkdir(exist_ok=True)
    prefix = COMPILED if herdless.compiled else ""
    sections = load() | {prefix + name: as_data(result, machine) for name, result in results.items()}
    ARCHIVE.write_text(json.dumps(sections, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for result in results.values():
        for name, plot in result.plots.items():
            if not herdless.compiled:  # the plots are of the library that everybody has
                (PLOTS / name).write_text(plot, encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_generated_part(page, generated_part(sections)), encoding="utf-8")


def with_generated_part(page: str, generated: str) -> str:
    """The page with what stands between the two marks replaced."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{generated}\n{END}{rest.partition(END)[2]}"


def generated_part(sections: dict[str, Any]) -> str:
    """The goals and every section, with the machine it was measured on."""
    parts = [report.markdown(_goals(sections, compiled=compiled)) for compiled in (False, True)]
    absent = [name for name in SECTIONS if name not in sections]
    if absent:
        parts.append(f"Not kept here yet, so run `python -m tests.benchmarks --docs {' '.join(absent)}`.\n")
    for name in sorted(sections):
        section = sections[name]
        command = f"python -m tests.benchmarks {name.removeprefix(COMPILED)}"
        is_compiled = name.startswith(COMPILED)
        parts.append(f"## {name}\n\n`{'build/compiled/bin/' if is_compiled else ''}{command}`; {section['machine']}\n")
        parts += [report.markdown(_table(data)) for data in section["tables"]]
        if not is_compiled:
            parts += [f"![{plot.removesuffix('.svg')}](performance/{plot})\n" for plot in section["plots"]]
    return "\n".join(parts)


def _goals(sections: dict[str, Any], *, compiled: bool) -> Table:
    mine = [section for name, section in sections.items() if name.startswith(COMPILED) is compiled]
    figures = {name: value for section in mine for name, value in section["figures"].items()}
    return goals.judge(figures, compiled=compiled)


def _table(data: dict[str, Any]) -> Table:
    rows = tuple(tuple(row) for row in data["rows"])
    return Table(data["title"], tuple(data["columns"]), rows, data["note"])
