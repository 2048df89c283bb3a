"""The messages that docs/how-to/write-an-adapter.md shows are those that a reader will see."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from herdless_verify.contract import PARTS
from tests.docs.test_code_blocks import BLOCKS, PYTHON, script_of

PAGE = [block for block in BLOCKS if block.page.name == "write-an-adapter.md"]
SHOWN = [block.code for block in PAGE if block.info == "text"]


def run(folder: Path, name: str, text: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Save what the reader has as a file, and run Python with it."""
    (folder / name).write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", *command, name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_messages_on_the_page_are_what_the_code_prints(tmp_path: Path) -> None:
    """A broken adapter fails, with these words; a page that shows others teaches to distrust it."""
    done = run(tmp_path, "page.py", script_of([block for block in PAGE if block.info in PYTHON][-1]))
    assert done.returncode == 0, done.stderr
    assert len(SHOWN) == 3
    for text in SHOWN[1:]:
        assert text in done.stdout


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of the page's adapter and of its broken one, where nothing of this project's tests is near."""
    (last,) = [block for block in PAGE if "class TestUnderTheCaller(" in block.code]
    options = ["-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", "-p", "no:asyncio", "--rootdir=."]
    return run(tmp_path_factory.mktemp("reader"), "test_gevent.py", script_of(last), *options).stdout


def verdicts(report: str, suite: str) -> dict[str, str]:
    """What became of each test of the suite."""
    found = re.findall(rf"^test_gevent\.py::{suite}::(.+) (PASSED|FAILED|ERROR|SKIPPED)", report, re.MULTILINE)
    return dict(found)


def test_adapter_of_the_page_passes_the_contract_suite(checked: str) -> None:
    """A reader who copies the page gets a green run, in which only what the driver exempts is left out."""
    found = verdicts(checked, "TestGevent")
    skipped = {name for name, verdict in found.items() if verdict == "SKIPPED"}
    cancels = {"test_load_that_nobody_waits_for_is_stored", "test_04_left_load_that_goes_on_is_joined"}
    told_apart = {"test_reload_is_not_given_what_a_tag_has_made_outdated"}
    assert skipped == cancels | told_apart | {scenario.__name__ for scenario in PARTS["Many keys at once"]}
    assert {verdict for name, verdict in found.items() if name not in skipped} == {"PASSED"}
    assert len(found) > 100
    assert "a load that nobody waits for is cancelled, so none is left to join" in checked


def test_broken_adapter_of_the_page_fails_as_it_says(checked: str) -> None:
    """A suite that lets the commonest mistake pass is worth nothing; its message is the one on the page."""
    found = verdicts(checked, "TestUnderTheCaller")
    failed = {name for name, verdict in found.items() if verdict == "FAILED"}
    named = set(re.findall(r"`(test_\w+)`", PAGE[0].page.read_text(encoding="utf-8")))
    assert len(named) == 2
    assert failed > named | {"test_05_leader_that_leaves_takes_nobody_along"}
    assert SHOWN[0] in checked
