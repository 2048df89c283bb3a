"""docs/CONTRIBUTING.md says where everything is: what it lists is there, and what is there it lists."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from herdless_core import Policy

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "CONTRIBUTING.md").read_text(encoding="utf-8")
SOURCES: Final = ("core", "adapters", "specs", "tests", "docs")
UNLISTED: Final = {"docs/CHANGELOG.md", "docs/CONTRIBUTING.md"}
"""They speak of everything once."""


def table(heading: str) -> list[str]:
    """What stands in the first column of the table with this heading, without its ticks."""
    after = PAGE.partition(f"| {heading} |")[2]
    assert after, f"there is no table with the heading {heading}"
    rows = re.match(r"[^\n]*\n\|[-|]+\n((?:\|.*\n)+)", after)
    assert rows is not None
    return [row.split("|")[1].strip().strip("`") for row in rows[1].splitlines()]


def sources() -> Iterator[Path]:
    """The text files of the project: what stands in them is what a change has to touch."""
    for room in SOURCES:
        for path in (ROOT / room).rglob("*"):
            kind = path.suffix in {".py", ".md", ".toml", ".tla", ".svg"}
            if kind and not {"__pycache__", "herdless_verify.egg-info"} & set(path.parts):
                yield path


def places(word: str) -> set[str]:
    """The files in which the word stands."""
    whole = re.compile(rf"\b{word}\b")
    found = {path.relative_to(ROOT).as_posix() for path in sources() if whole.search(path.read_text(encoding="utf-8"))}
    return found - UNLISTED - {Path(__file__).relative_to(ROOT).as_posix()}


@pytest.mark.parametrize("word", ["Expire", "remember_timeouts"])
def test_list_names_all_places_that_know_it(word: str) -> None:
    """Who follows the list has touched every place; who adds a place adds a row."""
    listed = table(f"place of `{word}`")
    assert len(listed) == len(set(listed))
    assert set(listed) == places(word)


@pytest.mark.parametrize("word", ["Expire", "remember_timeouts"])
def test_list_begins_in_the_core(word: str) -> None:
    """The order in which a change is made is that of the arrows."""
    rooms = [path.partition("/")[0] for path in table(f"place of `{word}`")]
    assert rooms == sorted(rooms, key=["core", "adapters", "specs", "tests", "docs"].index)


def test_field_of_the_list_is_a_field() -> None:
    """It is an argument of the policy, as the list says."""
    assert Policy(ttl=1, load_timeout=1, negative_ttl=1, remember_timeouts=True).remember_timeouts


def commands() -> Iterator[str]:
    """Every module that can be run."""
    for room, start in {"core": "core", "adapters": "adapters", "specs": "specs", "tests": ".", "docs": "."}.items():
        for path in (ROOT / room).rglob("*.py"):
            if "examples" in path.relative_to(ROOT).parts:
                continue  # projects of their own, each with a README
            is_run = path.name == "__main__.py" or re.search(
                '^if __name__ == "__main__"', path.read_text("utf-8"), re.M
            )
            if is_run:
                yield ".".join(path.relative_to(ROOT / start).with_suffix("").parts).removesuffix(".__main__")


def test_every_module_that_can_be_run_is_listed() -> None:
    """One list of all entry points, so that nobody writes a second one for what is there."""
    assert sorted(table("`python -m`")) == sorted(commands())


def test_every_command_is_listed() -> None:
    """Those of both distributions, and the script of CI."""
    metadata: list[Mapping[str, Any]] = [
        tomllib.loads((ROOT / room / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for room in (".", "specs")
    ]
    brought = metadata[1]["entry-points"]["herdless.commands"]
    found = {*metadata[0]["scripts"], *(f"herdless {name}" for name in brought if "-" not in name)}
    listed = table("commands")
    assert found - {"herdless"} <= set(listed)
    for command in listed:
        name = command.removeprefix("herdless ")
        built_in = ROOT / "adapters" / "herdless" / "_command"
        assert (
            name in brought
            or (built_in / name).exists()
            or (built_in / f"{name}.py").exists()
            or (ROOT / name).exists()
        )


def test_every_option_that_the_tests_add_is_listed() -> None:
    """The others are in the manual of pytest."""
    text = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    options = set(re.findall(r'addoption\("(--[\w-]+)"', text))
    profiles = {f"--hypothesis-profile={name}" for name in re.findall(r'register_profile\("(\w+)"', text)}
    assert options | profiles - {"--hypothesis-profile=ci"} == set(table("pytest"))
    assert 'load_profile("ci")' in text


def test_every_variable_of_the_environment_is_listed() -> None:
    """What is read and not written down is found by chance."""
    texts = [path.read_text(encoding="utf-8") for path in sources() if path.suffix == ".py"]
    names = {name for text in texts for name in re.findall(r"\b(?:HERDLESS|HATCH)_[A-Z_]+\b", text)}
    assert names == set(table("environment"))


def test_what_is_named_is_there() -> None:
    """Paths, modules and programs in the running text."""
    paths = set(re.findall(r"`((?:core|adapters|specs|tests|docs|\.ci|\.github)/[\w./-]*)`", PAGE))
    paths |= set(re.findall(r"pytest -q (tests/\w+)", PAGE))
    assert len(paths) > 40
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_both_distributions_are_released_in_one_version() -> None:
    """A checker of another version would examine another machine."""
    root, specs = (
        tomllib.loads((ROOT / room / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for room in (".", "specs")
    )
    assert root["version"] == specs["version"]
    assert f"herdless-verify=={root['version']}" in root["optional-dependencies"]["verify"]
    assert f"herdless=={root['version']}" in specs["dependencies"]
    pythons = [[line for line in each["classifiers"] if "Python ::" in line] for each in (root, specs)]
    assert pythons[0] == pythons[1]


def test_what_is_ignored_is_not_looked_at() -> None:
    """The lists are those of the tree that everybody has, not of what a run left behind."""
    listed = [path.relative_to(ROOT).as_posix() for path in sources()]
    if not (ROOT / ".git").exists():
        return  # an unpacked source distribution has nothing that is ignored
    done = subprocess.run(
        ["git", "check-ignore", "--stdin"],
        cwd=ROOT,
        input="\n".join(listed),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
