"""docs/trace.md shows what its example really gives. `pytest tests/trace/test_page.py --rewrite` writes it anew."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from herdless.__main__ import main
from tests.trace.mutants import mutated

PAGE = Path(__file__).parents[2] / "docs" / "trace.md"
DIAGRAM = re.compile(r"^```mermaid\n.*?^```\n", re.MULTILINE | re.DOTALL)


def _untimed(diagram: str) -> str:
    """Without the instants, which differ from run to run, and with them their number."""
    return re.sub(r" *Note over E1: at [\d.]+ s\n", "", diagram)


def test_diagram_is_that_of_the_example(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who runs the example sees the page's diagram, but for the times."""
    page = PAGE.read_text(encoding="utf-8")
    (example, *_) = re.findall(r"^```python\n(.*?)^```\n", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-c", example], check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert main(["trace", "users.trace", "--ended", "--mermaid", "users.md"]) == 0
    diagram = Path("users.md").read_text(encoding="utf-8")
    if request.config.getoption("--rewrite"):
        PAGE.write_text(DIAGRAM.sub(lambda _: diagram, page), encoding="utf-8")
        return
    (shown,) = DIAGRAM.findall(page)
    assert _untimed(shown) == _untimed(diagram)


def test_departure_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the page shows is what the command prints, but for what is left out of the long line."""
    file = tmp_path / "users.trace"
    file.write_text("".join(mutated("settle_dropped")[0]), encoding="utf-8")
    assert main(["trace", str(file)]) == 1
    first, second = capsys.readouterr().out.removeprefix(f"{tmp_path}/").splitlines()
    page = PAGE.read_text(encoding="utf-8")
    begins, ends = re.findall(r"^(violates .*)\.\.\.(\).*)$", page, re.MULTILINE)[0]
    assert f"\n{first}\n" in page
    assert second.startswith(begins)
    assert second.endswith(ends)
