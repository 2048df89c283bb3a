"""`python -m docs.generate`: pages that are made are as they are made, and what is written by hand is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from docs.generate import __main__ as generate
from docs.generate import states


@pytest.mark.parametrize("generator", generate.GENERATORS[:5], ids=lambda pages: f"{pages.__module__}.{pages.__name__}")
def test_pages_are_as_they_are_made(generator: generate.Generator) -> None:
    """A page that lags behind the code is worse than none. Of the others tests/spec and tests/trace say so."""
    assert list(generate.drifted([generator])) == []


def test_drift_is_told_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check can fail, says so by its exit status, and writes nothing."""
    page = tmp_path / "page.md"
    page.write_text("old", encoding="utf-8")

    def pages() -> Mapping[Path, str]:
        return {page: "new", tmp_path / "missing.md": "new"}

    assert generate.main(["--check"], [pages]) == 1
    assert page.read_text(encoding="utf-8") == "old"
    assert capsys.readouterr().out.count("differs") == 2
    assert generate.main([], [pages]) == 0
    assert page.read_text(encoding="utf-8") == "new"
    assert generate.main(["--check"], [pages]) == 0


def test_what_is_written_by_hand_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what stands below the mark is made."""
    monkeypatch.setattr(states, "DOCS", tmp_path)
    page = tmp_path / "states.md"
    page.write_text(f"By hand.\n\n{states.BEGIN}\nby mistake\n", encoding="utf-8")
    assert states.pages()[page].startswith(f"By hand.\n\n{states.BEGIN}\n\n```mermaid\n")


def test_an_unknown_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error must not rewrite anything."""
    assert generate.main(["--chek"]) == 2
    assert "--chek is not accepted" in capsys.readouterr().err
