"""docs/trace.md shows what its example really gives. `--rewrite` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate import trace
from docs.generate.__main__ import drifted, main
from herdless.__main__ import main as herdless
from tests.trace.mutants import mutated


def test_diagram_is_that_of_the_example(request: pytest.FixtureRequest) -> None:
    """A reader who runs the example sees the page's diagram, but for the times."""
    if request.config.getoption("--rewrite"):
        main([], [trace.pages])
    assert list(drifted([trace.pages])) == []


def test_a_diagram_that_is_not_that_of_the_example_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The times may differ, and nothing else."""
    page = trace.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(trace, "PAGE", tmp_path / "trace.md")
    trace.PAGE.write_text(re.sub(r"at [\d.]+ s", "at 99 s", page), encoding="utf-8")
    assert list(drifted([trace.pages])) == []
    trace.PAGE.write_text(page.replace("E1: ", "E1: never ", 1), encoding="utf-8")
    assert [path for path, _ in drifted([trace.pages])] == [trace.PAGE]


def test_departure_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the page shows is what the command prints, but for what is left out of the long line."""
    file = tmp_path / "users.trace"
    file.write_text("".join(mutated("settle_dropped")[0]), encoding="utf-8")
    assert herdless(["trace", str(file)]) == 1
    first, second = capsys.readouterr().out.removeprefix(f"{tmp_path}/").splitlines()
    page = trace.PAGE.read_text(encoding="utf-8")
    begins, ends = re.findall(r"^(violates .*)\.\.\.(\).*)$", page, re.MULTILINE)[0]
    assert f"\n{first}\n" in page
    assert second.startswith(begins)
    assert second.endswith(ends)
