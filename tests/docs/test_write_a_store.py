"""The store of docs/how-to/write-a-store.md keeps its word: the page's own suite, on the page's own store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from herdless.stores import Store
from herdless.testing.store import StoreSuite

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-store.md").read_text(encoding="utf-8")


class TestFileStore(StoreSuite):
    """What the page says of it."""

    tells = False
    knows_the_living = False
    can_be_cut = False
    colours = ("threads",)

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        """Where the files are."""
        self._names: dict[str, Any] = {}
        (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        exec(block.partition("with tempfile")[0], self._names)  # noqa: S102 - the page's own code
        self._path = tmp_path
        self._number = 0

    def make_store(self) -> Store:
        """An empty one."""
        self._number += 1
        store: Store = self._names["FileStore"](self._path / f"{self._number}.db")
        return store


def test_the_page_says_of_its_store_what_is_tried_here() -> None:
    """The same attributes of the suite."""
    for name in ("tells", "knows_the_living", "can_be_cut"):
        assert f"    {name} = {getattr(TestFileStore, name)}" in PAGE
    assert f'    colours = ("{TestFileStore.colours[0]}",)' in PAGE
