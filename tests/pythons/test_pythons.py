"""The matrix finds every Python that can be used, says why it leaves one out, and the package claims what was run."""

from __future__ import annotations

import sys
import tomllib
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from tests.pythons.__main__ import main, runs, told
from tests.pythons.found import OLDEST, ROOT, Found, Python, asked, candidates, chosen, classified, find_pythons

METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
THIS = Path(sys.executable)


def python(version: str, path: str = "") -> Python:
    """An interpreter."""
    return Python(Path(path or f"/opt/{version}/bin/python"), tuple(map(int, version.split("."))))


def test_oldest_python_is_the_one_that_is_required() -> None:
    """The matrix must not leave out what pip would install on."""
    assert METADATA["requires-python"] == f">={OLDEST[0]}.{OLDEST[1]}"


def test_every_python_of_this_machine_is_a_classifier() -> None:
    """Whoever reads the package's page chooses by them; run `python -m tests.pythons`, and add what is missing."""
    assert {each.name for each in find_pythons().pythons} <= classified()


def test_classifiers_have_no_gap() -> None:
    """From the oldest on, each is claimed."""
    minors = sorted(int(name.partition(".")[2]) for name in classified())
    assert minors == list(range(OLDEST[1], OLDEST[1] + len(minors)))


def test_this_python_is_found() -> None:
    """It is asked what it is, like any other, and is the one of its version."""
    this = asked(THIS)
    assert this is not None
    assert this.version == sys.version_info[:3]
    assert THIS in [each.path for each in find_pythons().pythons]


def test_pythons_of_pyenv_and_of_the_path_are_found(tmp_path: Path) -> None:
    """Neither a configuration script nor another program is taken for an interpreter."""
    names = ["versions/3.12.1/bin/python", "bin/python3.13", "bin/python3.14t", "bin/python3.13-config", "bin/python3"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    environment = {"PYENV_ROOT": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{tmp_path / 'nothing'}"}
    assert set(candidates(environment, Path("/nobody"))) == {THIS, *(tmp_path / name for name in names[:3])}


def test_what_is_no_python_is_passed_over(tmp_path: Path) -> None:
    """Shims of versions that are switched off fail when they are called; files may not be executable."""
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n", encoding="utf-8")
    assert asked(shim) is None
    shim.chmod(0o755)
    assert asked(shim) is None


def test_one_python_of_each_version_is_chosen() -> None:
    """The newest; but this one before others of its version, and nothing that is too old."""
    this = python(".".join(map(str, sys.version_info[:3])), str(THIS))
    newer = python(f"{this.name}.99")
    others = [python("3.90.1"), python("3.90.3"), python("3.90.2"), python("3.10.99")]
    found = chosen([this, newer, *others])
    assert found == Found([this, others[1]], {})


@pytest.mark.parametrize("fact", ["is_final", "is_cpython", "has_gil", "makes_environments"])
def test_python_that_cannot_be_used_is_left_out_with_a_reason(fact: str) -> None:
    """And another one of its version takes its place, however old."""
    facts: dict[str, Any] = {fact: False}
    unfit, fit = python("3.90.2")._replace(**facts), python("3.90.1")
    found = chosen([unfit, fit])
    assert found.pythons == [fit]
    assert list(found.left_out) == [unfit]
    assert any(line.startswith("3.90.2 (/opt/3.90.2/bin/python) is left out: ") for line in told(found))


def test_what_the_classifiers_claim_and_nobody_ran_is_told() -> None:
    """On a machine with one Python a green run is no word about the others."""
    lines = list(told(Found([], {})))
    assert lines == [
        f"{name} is among the classifiers, and not on this machine: nothing is run on it"
        for name in sorted(classified())
    ]


def test_list_says_which_pythons_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is run, or without."""
    assert main(["--list"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.endswith("this one")]
    assert line.startswith(sys.version.partition(" ")[0])


def test_version_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error must not pass for a green run."""
    with pytest.raises(SystemExit) as ended:
        main(["3.1"])
    assert ended.value.code == 2
    assert "3.1 is not on this machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, ["3.90 pure", "3.91 pure", "3.91 compiled"]),
        ({"all": True}, ["3.90 pure", "3.90 compiled", "3.91 pure", "3.91 compiled"]),
        ({"versions": ["3.90", "3.91"]}, ["3.90 pure", "3.90 compiled", "3.91 pure", "3.91 compiled"]),
        ({"pure": True}, ["3.90 pure", "3.91 pure"]),
        ({"compiled": True}, ["3.91 compiled"]),
    ],
)
def test_wheel_is_built_for_the_newest_unless_more_is_asked_for(arguments: dict[str, Any], expected: list[str]) -> None:
    """A build takes minutes; all of it is for who has them."""
    asked = Namespace(**{"pure": False, "compiled": False, "all": False, "versions": []} | arguments)
    assert [f"{each.name} {kind}" for each, kind in runs([python("3.90.1"), python("3.91.1")], asked)] == expected
