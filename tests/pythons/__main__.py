"""`python -m tests.pythons [--list] [--pure | --compiled | --all] [VERSION ...]`: core and adapters on every Python.

It runs `tests/core`, `tests/contract` and `tests/runtimes` on each Python that it finds (this one, pyenv's, every
`python3.N` on PATH) from 3.11 on, in an environment of the extra `dev` in `build/pythons`; and on the compiled wheel,
which it builds there: on the newest Python, and with `--all` or where versions are named on each. What needs more than
`dev` is left out, and the summary of each run says what. This Python is left out too, unless it is named: it has its
own runs, the README's second command and `python -m tests.compiled`.

The exit status is 0 when all tests passed on all of them, and the classifiers name them; 2 where a version that was
asked for is not there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.compiled.__main__ import TESTS, build_wheel, make_environment
from tests.pythons.found import ROOT, Found, Python, classified, find_pythons

BUILD: Final = ROOT / "build" / "pythons"
PURE_TESTS: Final = tuple(name for name in TESTS if not name.endswith(".py"))
"""The folders; the file beside them is about the wheel."""


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.pythons", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="such as 3.12; all but this one without it")
    parser.add_argument("--list", action="store_true", help="only say which Pythons there are")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pure", action="store_true", help="not the compiled wheel")
    which.add_argument("--compiled", action="store_true", help="only the compiled wheel")
    which.add_argument("--all", action="store_true", help="the compiled wheel on each of them, not on the newest alone")
    asked = parser.parse_args(arguments)

    found = find_pythons()
    for line in told(found):
        say(line)
    if asked.list:
        return 0
    absent = set(asked.versions) - {python.name for python in found.pythons}
    if absent:
        parser.error(f"{', '.join(sorted(absent))} is not on this machine")
    chosen = [each for each in found.pythons if each.name in asked.versions or not (asked.versions or is_this(each))]
    failed = [f"{python.name} {kind}" for python, kind in runs(chosen, asked) if not passes(python, kind)]
    unnamed = sorted({python.name for python in found.pythons} - classified())
    if failed:
        say(f"the tests failed on: {', '.join(failed)}")
    if unnamed:
        say(f"no classifier of pyproject.toml names {', '.join(unnamed)}")
    return int(bool(failed or unnamed))


def runs(pythons: Sequence[Python], asked: argparse.Namespace) -> Iterator[tuple[Python, str]]:
    """On which of the Pythons what is run. A build for each is minutes, and what it shows differs little."""
    newest = max(pythons, key=lambda python: python.version, default=None)
    for python in pythons:
        if not asked.compiled:
            yield python, "pure"
        if not asked.pure and (python is newest or asked.all or asked.versions):
            yield python, "compiled"


def say(line: str) -> None:
    """Print the line now, before what another process prints."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def told(found: Found) -> Iterator[str]:
    """A line for each Python that is there, is left out, or is among the classifiers and not there."""
    for python in found.pythons:
        yield f"{python}{', this one' if is_this(python) else ''}"
    for python, why in found.left_out.items():
        yield f"{python} is left out: {why}"
    for name in sorted(classified() - {python.name for python in found.pythons}):
        yield f"{name} is among the classifiers, and not on this machine: nothing is run on it"


def is_this(python: Python) -> bool:
    """Whether it is the one that runs this."""
    return python.version[:2] == sys.version_info[:2]


def passes(python: Python, kind: str) -> bool:
    """Run the tests of this kind on it; whether they passed."""
    began = time.monotonic()
    say(f"+ {python.name}, {kind}")
    own = environment_of(python)
    if kind == "pure":
        runner, tests, more = own, PURE_TESTS, {}
    else:
        wheels = [build_wheel(own, project) for project in (".", "./specs")]
        runner = make_environment(BUILD / python.name / "compiled", own, *wheels)
        tests, more = TESTS, {"HERDLESS_COMPILED": "1"}
    environment = os.environ | {"HERDLESS_NO_SKIP": "dev", **more}
    command = [str(runner), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    say(f"  ({python.name}, {kind}: {time.monotonic() - began:.0f} s)")
    return done.returncode == 0


def environment_of(python: Python) -> Path:
    """The Python of an environment for it, with this checkout and the extra `dev`. It is made once."""
    folder = BUILD / python.name / "dev"
    own = folder / "bin" / "python"
    if not own.exists():
        subprocess.run([python.path, "-m", "venv", "--clear", folder], check=True)
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-warn-conflicts"]
    subprocess.run([own, *install, "-e", ".[dev]"], cwd=ROOT, check=True)
    subprocess.run([own, *install, "--no-deps", "-e", "./specs"], cwd=ROOT, check=True)
    return own


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
