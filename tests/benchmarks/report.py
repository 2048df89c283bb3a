"""Tables as Markdown, and the machine on which they came about."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from tests.benchmarks.results import Cell, Table
from tests.benchmarks.subjects import peer_versions


def machine() -> str:
    """One paragraph: what ran this, on what, against which versions."""
    peers = ", ".join(f"{name} {found or 'NOT INSTALLED'}" for name, found in peer_versions().items())
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python} on {platform.system()}, {os.cpu_count()} x {_processor()}. Peers: {peers}."


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def markdown(table: Table) -> str:
    """The table with its title, ready for a page."""
    lines = [f"### {table.title}", ""]
    if table.note:
        lines += [table.note, ""]
    lines.append("| " + " | ".join(table.columns) + " |")
    lines.append("|" + "|".join("---" if i == 0 else "--:" for i in range(len(table.columns))) + "|")
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in table.rows]
    return "\n".join(lines) + "\n"


def _cell(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case float():
            return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
        case int():
            return f"{cell:,}"
        case str():
            return cell
