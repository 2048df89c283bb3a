"""The messages that docs/how-to/write-an-adapter.md shows are those that a reader will see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.test_code_blocks import BLOCKS, PYTHON, script_of


def test_messages_on_the_page_are_what_the_code_prints(tmp_path: Path) -> None:
    """A broken adapter fails, with these words; a page that shows others teaches to distrust it."""
    page = [block for block in BLOCKS if block.page.name == "write-an-adapter.md"]
    script = tmp_path / "page.py"
    script.write_text(script_of([block for block in page if block.info in PYTHON][-1]), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    shown = [block.code for block in page if block.info == "text"]
    assert len(shown) == 2
    for text in shown:
        assert text in done.stdout
