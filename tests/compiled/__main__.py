"""`python -m tests.compiled [PYTEST ARGUMENT ...]`: builds the compiled wheel and runs the tests on it.

The wheel is built as a user builds it, and installed into an environment of its own, `build/compiled`. What else the
tests need is taken from the environment in which this command runs, as the README's second command makes it; but for
herdless-verify, which is pure and comes from this checkout. Needs a C compiler.
Without arguments: the tests of core and adapters, and what is checked on the wheel alone. `tests/schedules` and
`tests/command` pass on it too, and take longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = ROOT / "build" / "compiled"
TESTS: Final = (
    "tests/compiled/wheel.py",
    *(f"tests/{room}" for room in ("core", "contract", "runtimes")),
)


def main(arguments: list[str]) -> int:
    """The exit status: that of pytest."""
    this = Path(sys.executable)
    python = make_environment(ENVIRONMENT, this, build_wheel(this, "."), build_wheel(this, "./specs"))
    command = [str(python), "-m", "pytest", "-q", *(arguments or TESTS)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"HERDLESS_COMPILED": "1"}, check=False).returncode


def build_wheel(python: Path, project: str) -> Path:
    """Build the wheel of a folder for this Python by the documented command; pip fetches what it is built with."""
    target = Path(tempfile.mkdtemp(prefix="herdless-wheel-"))
    command = [str(python), "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(target), project]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"HATCH_BUILD_HOOKS_ENABLE": "1"}, check=True)
    (wheel,) = target.iterdir()
    return wheel


def make_environment(folder: Path, python: Path, *wheels: Path) -> Path:
    """Install the wheels into an environment that borrows all else from that of `python`; returns its Python.

    The borrowed folder comes after the own one, and its `.pth` files are not read: an editable herdless is not seen.
    """
    subprocess.run([str(python), "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    own = folder / "bin" / "python"
    install = ["-m", "pip", "--python", str(own), "install", "-q", "--no-deps", "--no-index", *map(str, wheels)]
    subprocess.run([str(python), *install], check=True)
    (folder_of(own) / "borrowed.pth").write_text(f"{folder_of(python)}\n", encoding="utf-8")
    return own


def folder_of(python: Path) -> Path:
    """Where the packages of this Python's environment are installed."""
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
