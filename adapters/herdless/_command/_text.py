"""The report as plain text, for where rich is not installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from herdless._command._report import Report
from herdless._command._words import (
    GAP,
    HEADERS,
    LEFT_ALIGNED,
    WIDTHS,
    as_it_happened,
    bar,
    bar_width,
    duration,
    heading,
    introduction,
    legend,
    phases,
    remarks,
    row_cells,
    verdict,
    watched,
)


def as_text(report: Report, width: int, glyphs: Mapping[str, str]) -> str:
    """All of it, for lines of `width` characters."""
    return "\n".join(line.rstrip() for line in _lines(report, width, glyphs)) + "\n"


def _lines(report: Report, width: int, glyphs: Mapping[str, str]) -> Iterator[str]:
    for text in introduction(report):
        yield from wrap(text, width)
    for plan, rows, scale in phases(report):
        yield ""
        yield from wrap(heading(plan, len(report.source.keys), report.seed), width)
        yield _line([header.partition("\n")[0] if "\n" in header else "" for header in HEADERS], "time line,")
        yield _line([header.rpartition("\n")[2] for header in HEADERS], f"0 to {duration(scale)}")
        for row in rows:
            drawn = "".join(text for _, text in bar(row, scale, bar_width(width), glyphs))
            yield _line(row_cells(report, row), drawn)
    yield ""
    yield watched(report)
    yield "  ".join(text for _, text in legend(report, glyphs))
    for runtime, told in as_it_happened(report):
        yield f"{runtime:<{WIDTHS[0]}}  {told}"
    yield ""
    for sentence in (*remarks(report), *verdict(report)):
        yield from wrap(sentence, width)


def _line(texts: Sequence[str], last: str) -> str:
    padded = [
        f"{text:<{width}}" if column < LEFT_ALIGNED else f"{text:>{width}}"
        for column, (text, width) in enumerate(zip(texts, WIDTHS, strict=True))
    ]
    return (" " * GAP).join([*padded, last])
