"""The diagram of docs/trace.md: what the page's own example gives."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[1] / "trace.md"
DIAGRAM: Final = re.compile(r"^```mermaid\n.*?^```\n", re.MULTILINE | re.DOTALL)


def pages() -> Mapping[Path, str]:
    """The page with the diagram of this run, where the one that it shows differs in more than the times."""
    page = PAGE.read_text(encoding="utf-8")
    drawn = diagram(page)
    (shown,) = DIAGRAM.findall(page)
    return {PAGE: page if untimed(shown) == untimed(drawn) else DIAGRAM.sub(lambda _: drawn, page)}


def diagram(page: str) -> str:
    """Run the page's first example, and the command that draws its trace; the fenced diagram."""
    (example, *_) = re.findall(r"^```python\n(.*?)^```\n", page, re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory(prefix="herdless-trace-") as folder:
        draw = ["-m", "herdless", "trace", "users.trace", "--ended", "--mermaid", "users.md"]
        for command in (["-c", example], draw):
            subprocess.run(  # noqa: S603 - the page's own example, and our own command
                [sys.executable, *command], cwd=folder, check=True, timeout=60, stdout=subprocess.DEVNULL
            )
        return (Path(folder) / "users.md").read_text(encoding="utf-8")


def untimed(drawn: str) -> str:
    """Without the instants, which differ from run to run, and with them their number."""
    return re.sub(r" *Note over E1: at [\d.]+ s\n", "", drawn)
