"""The public types, from the point of view of somebody who uses them: what is right passes, what is wrong does not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

CONSUMER: Final = Path(__file__).with_name("consumer.py")
IGNORED: Final = "# mypy: ignore-errors"
"""Keeps the sample's errors out of the check of the project itself; taken off before the sample is checked."""

EXPECTED: Final = re.compile(r"# expect( of mypy)?: ([\w-]+)$")
REPORTED: Final = re.compile(r"^.*consumer\.py:(\d+): error: .*\[([\w-]+)\]$")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, elsewhere, so that this project's configuration plays no part."""
    copy = tmp_path_factory.mktemp("consumer") / CONSUMER.name
    sample = CONSUMER.read_text(encoding="utf-8")
    assert sample.startswith(IGNORED)
    copy.write_text(sample.replace(IGNORED, "#", 1), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def reported(copy: Path) -> dict[int, set[str]]:
    """The codes of the errors of `mypy --strict`, by line; a call may be wrong in two ways."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental", copy.name]
    done = subprocess.run(command, cwd=copy.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    errors = [match for line in done.stdout.splitlines() if (match := REPORTED.match(line))]
    assert len(errors) == sum(": error: " in line for line in done.stdout.splitlines()), done.stdout
    lines = {int(match[1]) for match in errors}
    return {line: {match[2] for match in errors if int(match[1]) == line} for line in lines}


@pytest.fixture(scope="module")
def expected() -> dict[int, re.Match[str]]:
    """What the sample says of its lines."""
    lines = CONSUMER.read_text(encoding="utf-8").splitlines()
    expected = {number: match for number, line in enumerate(lines, start=1) if (match := EXPECTED.search(line))}
    assert len(expected) > 20
    return expected


@pytest.mark.needs("mypy")
def test_what_is_wrong_is_an_error_and_what_is_right_is_not(
    reported: dict[int, set[str]], expected: dict[int, re.Match[str]]
) -> None:
    """The whole sample at once: an `Any` that crept in would let the wrong lines pass, a bad type refuse the others."""
    assert reported.keys() == expected.keys()
    assert [number for number, match in expected.items() if match[2] not in reported[number]] == []


@pytest.mark.needs("basedpyright")
def test_pyright_finds_the_same_lines(copy: Path, expected: dict[int, re.Match[str]]) -> None:
    """The checker of many editors has other ways to bind a method, and other words for what is wrong."""
    settings = {"typeCheckingMode": "standard", "pythonVersion": "3.11", "reportUnnecessaryComparison": "error"}
    copy.with_name("pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson", copy.name]
    done = subprocess.run(command, cwd=copy.parent, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = {each["range"]["start"]["line"] + 1 for each in found}
    assert lines == {number for number, match in expected.items() if match[1] is None}, found
