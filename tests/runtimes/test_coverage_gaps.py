"""The check of what is not reached can fail, and its page names lines that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.runtimes.coverage_gaps import PAGE, Gap, gaps, listed, stale


def report(**files: Any) -> dict[str, Any]:
    """What coverage writes, as far as it is read."""
    return {"files": {f"adapters/herdless/{name}.py": measured for name, measured in files.items()}}


def test_missing_lines_and_branches_are_gaps(tmp_path: Path) -> None:
    """Both count, exits of a function too, and other modules' do not."""
    folder = tmp_path / "adapters" / "herdless"
    folder.mkdir(parents=True)
    (folder / "trio.py").write_text("if a:\n    b()\nwhile c:\n    d()\n", encoding="utf-8")
    measured = {"missing_lines": [2], "missing_branches": [[1, 2], [-3, -1]]}
    other: dict[str, Any] = {"missing_lines": [1], "missing_branches": []}
    found = gaps(report(trio=measured, durable_objects=other), tmp_path)
    assert found == {Gap("trio.py", "b()"), Gap("trio.py", "if a:"), Gap("trio.py", "while c:")}


def test_page_is_read_row_by_row() -> None:
    """A line of code in the page is what the gap must say."""
    assert listed("| `a.py` | `x = y` | why |\n| `b.py` | `z()` | |\n") == {Gap("a.py", "x = y")}, "a reason is needed"


def test_page_lists_lines_that_exist() -> None:
    """A listed line that was rewritten needs another look."""
    known = listed(PAGE.read_text(encoding="utf-8"))
    assert known
    assert not stale(known)


def test_line_that_is_gone_is_stale() -> None:
    """So the test above can fail."""
    gone = Gap("trio.py", "this line is in no file")
    assert stale({gone, Gap("no_such_file.py", "x")}) == {gone, Gap("no_such_file.py", "x")}
