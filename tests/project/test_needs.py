"""With the extra `dev` alone, pytest runs what it can and says what it leaves out; where it may not, that fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import BEYOND_DEV, strictness, why_left_out

ROOT = Path(__file__).parents[2]
HERDLESS, CHECKERS = (
    tomllib.loads((ROOT / room / "pyproject.toml").read_text(encoding="utf-8"))["project"] for room in (".", "specs")
)

SAMPLE = {
    "conftest.py": "import sys\nsys.modules['fastapi'] = sys.modules['mypy'] = None\n",  # as if they were not installed
    "test_imports.py": "import fastapi\ndef test_nothing(): pass\n",
    "test_marked.py": "import pytest\n@pytest.mark.needs('mypy')\ndef test_types(): raise AssertionError\n"
    "def test_other(): pass\n",
}
SKIPPED = "import pytest\ndef test_skipped(): pytest.skip('for no reason')\n"
SKIPPED_FILE = "import pytest\npytest.skip('for no reason', allow_module_level=True)\n"
BROKEN = "import fastappi\ndef test_nothing(): pass\n"


def run(folder: Path, strict: str, files: dict[str, str]) -> tuple[int, str]:
    """Run pytest on these files under the project's rules; returns its status and what it printed."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(folder), "-q", str(folder)],
        cwd=folder,
        env=os.environ | {"HERDLESS_NO_SKIP": strict, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("strict", ["", "dev"])
def test_what_needs_a_missing_package_is_left_out_and_told(strict: str, tmp_path: Path) -> None:
    """A file whose import fails, and a marked test; the rest runs."""
    status, printed = run(tmp_path, strict, SAMPLE)
    assert (status, "1 passed, 2 skipped" in printed) == (0, True), printed
    assert "fastapi is not installed: 1 files left out" in printed
    assert "mypy is not installed: 1 tests left out" in printed


def test_where_nothing_may_be_skipped_a_missing_package_fails(tmp_path: Path) -> None:
    """As in `.ci/run`; and what fails is named."""
    status, printed = run(tmp_path, "1", SAMPLE)
    assert status != 0
    assert "ERROR test_imports.py" in printed
    del_imports = {name: text for name, text in SAMPLE.items() if name != "test_imports.py"}
    (tmp_path / "test_imports.py").unlink()
    status, printed = run(tmp_path, "1", del_imports)
    assert status == 1
    assert "HERDLESS_NO_SKIP=1, and test_marked.py::test_types was skipped: left out, for it needs mypy" in printed


@pytest.mark.parametrize("text", [SKIPPED, SKIPPED_FILE], ids=["test", "file"])
@pytest.mark.parametrize("strict", ["dev", "1"])
def test_skip_for_another_reason_fails_where_nothing_may_be_skipped(strict: str, text: str, tmp_path: Path) -> None:
    """A test that skips itself is one that never runs."""
    status, printed = run(tmp_path, strict, {"test_it.py": text})
    assert status != 0
    assert re.search(f"HERDLESS_NO_SKIP={strict}, and test_it.py.* was skipped: for no reason", printed)


def test_import_that_no_extra_explains_is_an_error(tmp_path: Path) -> None:
    """A typing error is no missing package."""
    status, printed = run(tmp_path, "", {"test_it.py": BROKEN})
    assert (status, "fastappi" in printed) == (2, True)


def test_list_is_what_the_extras_say() -> None:
    """Whatever only `test`, or herdless-verify beside it, has may be missing, and nothing else."""
    all_of_it = set(distributions(HERDLESS["optional-dependencies"]["test"])) | set(
        distributions(CHECKERS["dependencies"])
    )
    assert set(BEYOND_DEV.values()) == all_of_it - set(distributions(HERDLESS["optional-dependencies"]["dev"]))


def distributions(requirements: list[str]) -> Iterator[str]:
    """What they install, with what the extras of herdless among them install."""
    for requirement in requirements:
        name, others = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement).groups()  # type: ignore[union-attr]
        for other in filter(None, (others or "").split(",") if name == "herdless" else ()):
            yield from distributions(HERDLESS["optional-dependencies"][other])
        if name != "herdless":
            yield name


def test_package_that_is_in_no_extra_is_refused() -> None:
    """A mark with a misspelt name would leave its test out for ever."""
    with pytest.raises(KeyError, match="fastappi"):
        why_left_out(["fastappi"])


def test_word_that_says_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HERDLESS_NO_SKIP=yes` must not be a run in which everything may be skipped."""
    monkeypatch.setenv("HERDLESS_NO_SKIP", "yes")
    with pytest.raises(ValueError, match="HERDLESS_NO_SKIP=yes is not accepted: 1, dev or 0"):
        strictness()
