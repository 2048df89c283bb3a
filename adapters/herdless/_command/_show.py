"""The report for people, with what is there to print it."""

from __future__ import annotations

import shutil
import sys

from herdless._command._report import Report
from herdless._command._text import as_text
from herdless._command._words import glyphs_for


def show(report: Report) -> str:
    """With rich where it is installed (the extra `cli`), as plain text else."""
    try:
        from herdless._command._rich import as_rich
    except ImportError:
        return as_text(report, shutil.get_terminal_size().columns, glyphs_for(sys.stdout.encoding or "ascii"))
    return as_rich(report)
