"""The report with rich: tables with colours."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from herdless._command._report import Report
from herdless._command._run import PLAIN, Row
from herdless._command._words import (
    HEADERS,
    LEFT_ALIGNED,
    WIDTHS,
    as_it_happened,
    bar,
    bar_width,
    duration,
    glyphs_for,
    heading,
    introduction,
    legend,
    phases,
    remarks,
    row_cells,
    verdict,
    watched,
)

STATE_STYLES = {"absent": "dim", "pending": "yellow", "fresh": "green", "stale": "magenta", "evicted": "red"}


def as_rich(report: Report) -> str:
    """All of it, with the colours and the width of the terminal that stdout is, if it is one."""
    console = Console(file=sys.stdout, highlight=False)
    with console.capture() as captured:
        for part in _parts(report, console):
            console.print(part)
    return captured.get()


def _parts(report: Report, console: Console) -> Iterator[RenderableType]:
    for line in introduction(report):
        yield Text(line, "dim")
    for plan, rows, scale in phases(report):
        yield Text("\n" + heading(plan, len(report.source.keys), report.seed), "bold")
        yield _table(report, rows, scale, console)
    yield Text("\n" + watched(report), "bold")
    yield Text("  ").join(
        Text.assemble((text[0], STATE_STYLES[state]), text[1:])
        for state, text in legend(report, glyphs_for(console.encoding))
    )
    for runtime, told in as_it_happened(report):
        yield Text.assemble((f"{runtime:<{WIDTHS[0] + 2}}", "bold"), told)
    yield Text()
    for remark in remarks(report):
        yield Text(remark, "yellow")
    for line in verdict(report):
        yield Text(line, "bold red" if report.violations else "bold green")


def _table(report: Report, rows: list[Row], scale: float, console: Console) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for column, (header, width) in enumerate(zip(HEADERS, WIDTHS, strict=True)):
        is_text = column < LEFT_ALIGNED
        table.add_column(header, width=width, justify="left" if is_text else "right", vertical="bottom", no_wrap=True)
    table.add_column(f"time line,\n0 to {duration(scale)}", no_wrap=True)
    glyphs = glyphs_for(console.encoding)
    for row in rows:
        is_plain = row.cache == PLAIN
        stretches = bar(row, scale, bar_width(console.width), glyphs)
        bar_text = Text.assemble(*((text, STATE_STYLES[state]) for state, text in stretches))
        table.add_row(*row_cells(report, row), bar_text, style="dim" if is_plain else "bold", end_section=not is_plain)
    return table
