"""How large a module may be: one that has grown beyond it is split by its subjects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("core", "adapters", "specs", "tests", "docs")
MOST_LINES: Final = 500


def sizes() -> Iterator[tuple[str, int]]:
    """Every module of the project and how many lines it has."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), len(path.read_text(encoding="utf-8").splitlines())


def test_no_module_has_more_than_500_lines() -> None:
    """Whoever looks for a rule, or for the test of it, finds it by a file's name, and can read that file at once."""
    lines = dict(sizes())
    assert "tests/project/test_sizes.py" in lines
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}
