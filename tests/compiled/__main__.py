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
import sysconfig
import tempfile
import venv
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
    python = make_environment(build_wheel("."), build_wheel("./specs"))
    command = [str(python), "-m", "pytest", "-q", *(arguments or TESTS)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"HERDLESS_COMPILED": "1"}, check=False).returncode


def build_wheel(project: str) -> Path:
    """Build the wheel of a folder by the documented command; pip fetches what it is built with."""
    target = Path(tempfile.mkdtemp(prefix="herdless-wheel-"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(target), project]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"HATCH_BUILD_HOOKS_ENABLE": "1"}, check=True)
    (wheel,) = target.iterdir()
    return wheel


def make_environment(*wheels: Path) -> Path:
    """Install the wheels into an environment that borrows all else; returns its Python.

    The borrowed folder comes after the own one, and its `.pth` files are not read: an editable herdless is not seen.
    """
    venv.create(ENVIRONMENT, clear=True, symlinks=True)
    python = ENVIRONMENT / "bin" / "python"
    install = ["-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", *map(str, wheels)]
    subprocess.run([sys.executable, *install], check=True)
    own = sysconfig.get_path("purelib", vars={"base": str(ENVIRONMENT), "platbase": str(ENVIRONMENT)})
    Path(own, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
