"""The Python that the page of the machine runs in the browser: the core, the reader of traces, and the driver."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

ROOT: Final = Path(__file__).parents[2]
TARGET: Final = "assets/vendored/herdless.zip"
"""Where it stands in the site."""


def sources() -> Iterator[tuple[str, Path]]:
    """Names in the archive, and the files."""
    for room, package in (("core", "herdless_core"), ("adapters", "herdless/_trace")):
        for path in sorted((ROOT / room / package).rglob("*.py")):
            yield path.relative_to(ROOT / room).as_posix(), path
    for name in ("__init__.py", "trace.py"):
        yield f"herdless/{name}", ROOT / "adapters" / "herdless" / name
    for path in sorted((ROOT / "docs" / "playground").glob("*.py")):
        yield f"docs/playground/{path.name}", path


def archive() -> bytes:
    """The archive: the same bytes for the same sources."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as made:
        for name, path in sources():
            made.writestr(ZipInfo(name), path.read_bytes(), ZIP_DEFLATED)
    return buffer.getvalue()
