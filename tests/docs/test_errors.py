"""docs/reference/errors.md has every error of herdless, and what each one is."""

from __future__ import annotations

import re
from pathlib import Path

import herdless
import herdless_core

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
ROWS = {
    name: set(re.findall(r"`(\w+)`", bases))
    for name, bases in re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE, re.MULTILINE)
}


def errors() -> dict[str, type[BaseException]]:
    """All that users can catch, by their names."""
    named = {name: getattr(herdless_core, name) for name in herdless_core.__all__}
    return {name: item for name, item in named.items() if isinstance(item, type) and issubclass(item, BaseException)}


def test_every_error_has_its_row() -> None:
    """Whoever meets one looks it up."""
    assert set(ROWS) == set(errors())
    assert {name for name in ROWS if name != "HerdlessError"} <= set(herdless.__all__)


def test_what_an_error_is_a_kind_of_is_so() -> None:
    """It is by these that a program catches it."""
    assert {name: {base.__name__ for base in error.__bases__} for name, error in errors().items()} == ROWS
