"""What the tests of the adapters do not reach must be listed, with the reason, in docs/coverage.md.

    pytest tests/contract tests/runtimes tests/fleet/test_decorated.py --cov --cov-report=json:coverage.json
    python -m tests.runtimes.coverage_gaps coverage.json

fails when a line or a branch is not reached that the page does not list, or when it lists one that is gone. Lines are
named by their text, so that moving them changes nothing.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "coverage.md"
FOLDER: Final = "adapters/herdless"

TESTED_ELSEWHERE: Final = {"__main__.py", "django.py", "durable_objects.py", "instrument.py", "trace.py"}
"""Modules with test suites of their own."""

ROW: Final = re.compile(r"^\| `(?P<file>[^`]+)` \| `(?P<line>.+?)` \| (?P<reason>.+) \|$", re.MULTILINE)


class Gap(NamedTuple):
    """A line that is not reached, or from which a branch is not taken."""

    file: str
    line: str


def gaps(report: dict[str, Any], root: Path = ROOT) -> set[Gap]:
    """The gaps that coverage's JSON report shows in the adapters."""
    found: set[Gap] = set()
    for name, measured in report["files"].items():
        path = Path(name)
        if path.parent.as_posix() != FOLDER or path.name in TESTED_ELSEWHERE:
            continue
        source = (root / path).read_text(encoding="utf-8").splitlines()
        numbers = {*measured["missing_lines"], *(abs(start) for start, _ in measured["missing_branches"])}
        found |= {Gap(path.name, source[number - 1].strip()) for number in numbers}
    return found


def listed(page: str) -> set[Gap]:
    """The gaps that the page gives a reason for."""
    return {Gap(row["file"], row["line"]) for row in ROW.finditer(page)}


def stale(gaps: set[Gap], root: Path = ROOT) -> set[Gap]:
    """Those of the gaps whose line is not in its file any more."""

    def lines(file: str) -> set[str]:
        path = root / FOLDER / file
        return {line.strip() for line in path.read_text(encoding="utf-8").splitlines()} if path.exists() else set()

    return {gap for gap in gaps if gap.line not in lines(gap.file)}


def main(report: str) -> int:
    """Compare the report with the page; returns the exit status."""
    known = listed(PAGE.read_text(encoding="utf-8"))
    new = gaps(json.loads(Path(report).read_text(encoding="utf-8"))) - known
    for gap in sorted(new):
        print(f"not reached, and not in docs/coverage.md: {FOLDER}/{gap.file}: {gap.line}")  # noqa: T201  # a command
    for gap in sorted(stale(known)):
        print(f"in docs/coverage.md, and not in the code: {FOLDER}/{gap.file}: {gap.line}")  # noqa: T201  # a command
    return 1 if new or stale(known) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
