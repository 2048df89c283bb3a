"""The public types, from the point of view of somebody who uses them: what is right passes, what is wrong does not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

CONSUMER: Final = Path(__file__).with_name("consumer.py")
IGNORED: Final = "# mypy: ignore-errors"
"""Keeps the sample's errors out of the check of the project itself; taken off before the sample is checked."""

EXPECTED: Final = re.compile(r"# expect: ([\w-]+)$")
REPORTED: Final = re.compile(r"^.*consumer\.py:(\d+): error: .*\[([\w-]+)\]$")


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """The errors of `mypy --strict`, by line: run elsewhere, so that this project's configuration plays no part."""
    elsewhere = tmp_path_factory.mktemp("consumer")
    copy = elsewhere / CONSUMER.name
    sample = CONSUMER.read_text(encoding="utf-8")
    assert sample.startswith(IGNORED)
    copy.write_text(sample.replace(IGNORED, "#", 1), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental", copy.name]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    errors = [match for line in done.stdout.splitlines() if (match := REPORTED.match(line))]
    assert len(errors) == sum(": error: " in line for line in done.stdout.splitlines()), done.stdout
    return {int(match[1]): match[2] for match in errors}


def test_what_is_wrong_is_an_error_and_what_is_right_is_not(reported: dict[int, str]) -> None:
    """The whole sample at once: an `Any` that crept in would let the wrong lines pass, a bad type refuse the others."""
    lines = CONSUMER.read_text(encoding="utf-8").splitlines()
    expected = {
        number: match[1] for number, line in enumerate(lines, start=1) if (match := EXPECTED.search(line)) is not None
    }
    assert len(expected) > 20
    assert reported == expected
