"""Which Pythons the machine has, and which of them the package says that it is for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]

OLDEST: Final = (3, 11)
"""What `requires-python` says; a test compares."""

ASK: Final = """\
import json, sys, sysconfig
try:
    import ensurepip, venv
    makes_environments = True
except ImportError:
    makes_environments = False
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "is_final": sys.version_info.releaselevel == "final",
    "is_cpython": sys.implementation.name == "cpython",
    "has_gil": not sysconfig.get_config_var("Py_GIL_DISABLED"),
    "makes_environments": makes_environments,
}))
"""

NAME: Final = re.compile(r"python3\.\d+t?")


class Python(NamedTuple):
    """An interpreter."""

    path: Path
    version: tuple[int, ...]
    """Three numbers."""
    is_final: bool = True
    is_cpython: bool = True
    has_gil: bool = True
    makes_environments: bool = True
    """Whether it has what `python -m venv` needs; Debian's may lack it."""

    @property
    def name(self) -> str:
        """As the classifiers call it: two numbers."""
        return ".".join(map(str, self.version[:2]))

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.version))} ({self.path})"


class Found(NamedTuple):
    """What the machine has."""

    pythons: list[Python]
    """One for each version, the oldest first."""
    left_out: Mapping[Python, str]
    """Those that are recent enough, and why they are not among them."""


def candidates(environment: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Where a Python may be: this one, pyenv's versions, every `python3.N` on PATH. A path need not work."""
    yield Path(sys.executable)
    versions = Path(environment.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    yield from sorted(versions.glob("3.*/bin/python"))
    for folder in environment.get("PATH", "").split(os.pathsep):
        yield from sorted(path for path in Path(folder).glob("python3.*") if NAME.fullmatch(path.name))


def asked(path: Path) -> Python | None:
    """What the interpreter says of itself; None where it does not run, as pyenv's shims of versions that are off."""
    try:
        done = subprocess.run([path, "-c", ASK], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    said = json.loads(done.stdout)
    return Python(path, tuple(said.pop("version")), **said)


def chosen(pythons: Iterable[Python]) -> Found:
    """One Python of each version from `OLDEST` on: this one, or else the newest that can be used."""
    usable: dict[str, Python] = {}
    left_out: dict[Python, str] = {}
    for python in pythons:
        why = why_not(python)
        if python.version[:2] < OLDEST:
            continue
        if why is not None:
            left_out[python] = why
        elif python.name not in usable or is_better(python, usable[python.name]):
            usable[python.name] = python
    return Found(sorted(usable.values(), key=lambda python: python.version), left_out)


def is_better(python: Python, other: Python) -> bool:
    """Whether to take this one of two of one version."""
    return str(other.path) != sys.executable and python.version > other.version


def why_not(python: Python) -> str | None:
    """Why nothing is run on it; None where it is."""
    if not python.is_cpython:
        return "not CPython"
    if not python.is_final:
        return "not a final release"
    if not python.has_gil:
        return "without the GIL, for which some of what the tests need has no wheel"
    return None if python.makes_environments else "it has no ensurepip, so that it makes no environment"


@cache
def find_pythons() -> Found:
    """The Pythons of this machine."""
    paths = dict.fromkeys(candidates(os.environ, Path.home()))
    return chosen(python for path in paths if (python := asked(path)) is not None)


def classified() -> set[str]:
    """The versions in the package's classifiers, such as "3.12"."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    found = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in classifiers)
    return {match[1] for match in found if match is not None}
