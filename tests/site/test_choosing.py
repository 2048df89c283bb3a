"""What docs/how-to/choose.md shows: snippets that are right, and no price."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

ASSETS = Path(__file__).parents[2] / "docs" / "assets"
CHOICES: dict[str, dict[str, str]] = json.loads((ASSETS / "choices.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CHOICES)
def test_snippet_runs_up_to_where_a_server_would_be_asked(name: str) -> None:
    """A reader pastes it. What it imports is there, and what it makes at once can be made."""
    names: dict[str, Any] = {"__name__": "pasted"}
    exec(CHOICES[name]["snippet"], names)  # noqa: S102 - the page's own code
    module, _, cache = CHOICES[name]["title"].rpartition(".")
    assert hasattr(importlib.import_module(module), cache)
    assert cache in CHOICES[name]["snippet"]


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_snippet_with_a_program_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As a file of its own."""
    exec(CHOICES[name]["snippet"], {"__name__": "__main__"})  # noqa: S102 - the page's own code
    assert capsys.readouterr().out == "A\n"


def test_all_snippets_are_formed_alike() -> None:
    """They parse, and end with a line's end."""
    for choice in CHOICES.values():
        ast.parse(choice["snippet"])
        assert choice["snippet"].endswith("\n")


def test_no_price_is_in_the_page() -> None:
    """Prices change, and differ by contract: the reader enters them."""
    page = (ASSETS.parent / "how-to" / "choose.md").read_text(encoding="utf-8")
    priced = re.findall(r'<input name="(?:query|command|object|row|message|state)"[^>]*>', page)
    assert len(priced) == 6
    assert not [field for field in priced if "value=" in field]
    assert not re.search(r"[$€]\s?\d", page + (ASSETS / "choosing.js").read_text(encoding="utf-8"))
