"""Edits of everything else, and the tests that must fall: `python -m herdless_verify.mutants --edits`.

The mistakes of `mutants.toml` are edits of the machine, which checkers judge. What they cannot see - the adapters, the
keyspace, the specification of it, the checkers themselves - is judged by the project's tests. So each edit of
`tests/edits.toml` names those that must fall with it. Each is made in a copy of the checkout, where these tests are run
and have a time limit.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from herdless_verify.files import FOLDER

CHECKOUT: Final = FOLDER.parent
EDITS: Final = CHECKOUT / "tests" / "edits.toml"

COPIED: Final = ("core", "adapters", "specs", "tests", "docs", "pyproject.toml", "README.md", "LICENSE", ".ci")

SECONDS: Final = 600.0
"""The time limit of one edit: many times what its tests take."""

FALLS: Final = "falls"
HANGS: Final = "comes to no end"
SURVIVES: Final = "survives"


class NoCheckout(Exception):
    """There are no tests here that could fall: this is an installation."""


@final
@dataclass(frozen=True, slots=True)
class SourceEdit:
    """One edit of a file, and what must notice it."""

    name: str
    file: str
    """From the root of the checkout."""
    find: str
    """Stands in the file once."""
    replace: str
    tests: tuple[str, ...]
    """What pytest is given: paths, and options such as -k."""

    def make(self, root: Path) -> None:
        """Make the edit below this root. Raises ValueError unless the text stands there once."""
        path = root / self.file
        source = path.read_text(encoding="utf-8")
        if source.count(self.find) != 1:
            raise ValueError(f"{self.name}: the text to find stands {source.count(self.find)} times in {self.file}")
        path.write_text(source.replace(self.find, self.replace), encoding="utf-8")


def load_source_edits(path: Path = EDITS) -> list[SourceEdit]:
    """All of them; NoCheckout where their file is not there."""
    if not path.exists():
        raise NoCheckout(f"--edits needs a checkout of herdless with its tests: there is no {path}")
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return [SourceEdit(**{**entry, "tests": tuple(entry["tests"])}) for entry in document["edit"]]


def sample(edits: Sequence[SourceEdit], count: int, of: str) -> list[SourceEdit]:
    """So many of them, others for another text: with that of each commit all get their turn."""
    return random.Random(of).sample(list(edits), min(count, len(edits)))


def commit() -> str:
    """The commit that is checked out; without git the same text each time."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - as a developer's shell would find it
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
        return head.stdout.strip()
    return ""


def try_out(edit: SourceEdit, seconds: float = SECONDS) -> tuple[str, str]:
    """Make the edit in a copy of the checkout, and run its tests there: what became of it, and what pytest printed.

    seconds: the time limit, after which what runs is ended. Raises RuntimeError where pytest could run no test.
    """
    with tempfile.TemporaryDirectory(prefix="herdless-edit-") as private:
        root = Path(private)
        _copy(root)
        edit.make(root)
        status, text = _pytest(root, edit.tests, seconds)
    match status:
        case None:
            return HANGS, text
        case 0:
            return SURVIVES, text
        case 1:
            return FALLS, text
        case _:
            raise RuntimeError(f"{edit.name}: pytest ended with status {status}\n{text[-2000:]}")


def _copy(root: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.so", ".venv", "node_modules", "*.egg-info")
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, root / name)


def _pytest(root: Path, tests: Sequence[str], seconds: float) -> tuple[int | None, str]:
    """The exit status, None where the time was over; and what was printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(root / name) for name in ("core", "adapters", "specs", ".")),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with subprocess.Popen(  # noqa: S603 - the command is made here
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            text, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            text, _ = process.communicate()
            return None, text
        except BaseException:
            _end(process)
            raise
    return process.returncode, text


def _end(process: subprocess.Popen[str]) -> None:
    """With all that it has started; a session of its own is a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
