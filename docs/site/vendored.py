"""What the site takes from npm: what package-lock.json pins, kept in the cache directory once it is there."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.durable_objects.packages import cache_directory

HERE: Final = Path(__file__).parent
PINS: Final = ("package.json", "package-lock.json")

FILES: Final[Mapping[str, str]] = {
    "pyodide/pyodide.mjs": "assets/vendored/pyodide/pyodide.mjs",
    "pyodide/pyodide.asm.mjs": "assets/vendored/pyodide/pyodide.asm.mjs",
    "pyodide/pyodide.asm.wasm": "assets/vendored/pyodide/pyodide.asm.wasm",
    "pyodide/python_stdlib.zip": "assets/vendored/pyodide/python_stdlib.zip",
    "pyodide/pyodide-lock.json": "assets/vendored/pyodide/pyodide-lock.json",
    "mermaid/dist/mermaid.min.js": "assets/vendored/mermaid.min.js",
}
"""Which of them the pages load, and where they stand in the site."""


class Unavailable(Exception):
    """What the site takes from npm cannot be had here; the message says why."""


def installed() -> Path:
    """The folder of the files, installed if they are not there yet. Raises Unavailable."""
    pins = b"".join((HERE / name).read_bytes() for name in PINS) + repr(FILES).encode()
    root = cache_directory() / f"site-{hashlib.sha256(pins).hexdigest()[:16]}"
    if not root.exists():
        cache_directory().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_directory(), ignore_cleanup_errors=True) as directory:
            made = Path(directory) / root.name
            _install(made)
            with suppress(OSError):  # somebody else was quicker
                made.rename(root)
    return root


def _install(root: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is missing (apt-get install npm)")
    root.mkdir()
    for name in PINS:
        shutil.copy(HERE / name, root / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - what the lock file pins
    if done.returncode != 0:
        raise Unavailable(f"`{' '.join(command)}` failed: {done.stderr.strip()[-500:]}")
    for source, target in FILES.items():
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / "node_modules" / source, root / target)
    shutil.rmtree(root / "node_modules")  # the rest is eight times as large


def files() -> Mapping[str, Path]:
    """The files to vendor, by where they stand in the site. Raises Unavailable."""
    root = installed()
    return {target: root / target for target in FILES.values()}
