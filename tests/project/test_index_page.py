"""The page of the package index shows the README without the repository's files: its links must lead somewhere."""

from __future__ import annotations

import re
import tomllib
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (".", "specs")
REPOSITORY = "https://github.com/herdless/herdless"
SITE = "https://herdless.github.io/herdless/"
TARGET = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]:\s*(\S+)|(?:href|src)=\"([^\"]+)\"", re.MULTILINE)
"""Where a link or an image leads to: beside its words, in a definition below, in HTML."""


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What the wheel tells the index."""
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def targets(metadata: Message) -> list[str]:
    """Where the links of the long description lead to."""
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = re.sub(r"^```.*?^```$", "", str(metadata.get_payload()), flags=re.MULTILINE | re.DOTALL)
    found = [next(filter(None, groups)) for groups in TARGET.findall(page)]
    assert len(found) > 10
    return found


def test_every_link_is_absolute_or_an_anchor(targets: list[str]) -> None:
    """A relative one is a page of the index that does not exist."""
    assert [target for target in targets if not re.match(r"https://|#", target)] == []


def test_every_link_into_the_repository_names_a_file_of_this_version(metadata: Message, targets: list[str]) -> None:
    """Under the tag of the version: `main` moves on, and takes away what the page of an old version points to."""
    inside = [target for target in targets if target.startswith(REPOSITORY)]
    start = f"{REPOSITORY}/blob/v{metadata['Version']}/"
    assert inside
    assert [target for target in inside if not target.startswith(start)] == []
    files = {target.removeprefix(start).partition("#")[0] for target in inside}
    assert [file for file in sorted(files) if not (ROOT / file).is_file()] == []


def test_every_picture_is_a_file_of_this_version(metadata: Message, targets: list[str]) -> None:
    """It is loaded from where the file itself is, and not the page about it."""
    start = f"https://raw.githubusercontent.com/herdless/herdless/v{metadata['Version']}/"
    pictures = [target for target in targets if target.endswith(".svg")]
    assert pictures
    assert [picture for picture in pictures if not (ROOT / picture.removeprefix(start)).is_file()] == []


def test_every_link_of_the_readme_is_among_them(targets: list[str]) -> None:
    """None is lost on the way."""
    readme = re.findall(r"\]\(([^)\s]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(targets) == len(readme)


def test_project_urls_are_those_of_the_repository(metadata: Message) -> None:
    """The index lists them beside the page; those to files name files."""
    urls = dict(url.split(", ", 1) for url in metadata.get_all("Project-URL", []))
    assert urls.keys() >= {"Homepage", "Source", "Documentation", "Changelog", "Issues", "Security"}
    assert urls.pop("Documentation") == SITE
    assert all(url.startswith(REPOSITORY) for url in urls.values())
    files = [url.partition("/blob/main/")[2] for url in urls.values() if "/blob/" in url]
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_both_distributions_have_the_same_urls() -> None:
    """They are one project."""
    both = [tomllib.loads((ROOT / room / "pyproject.toml").read_text(encoding="utf-8"))["project"] for room in ROOMS]
    assert both[0]["urls"] == both[1]["urls"]


def test_readme_of_herdless_verify_links_to_no_file() -> None:
    """It is shown as it is."""
    readme = (ROOT / "specs" / "README.md").read_text(encoding="utf-8")
    assert not [groups for groups in TARGET.findall(readme) if not re.match(r"https://|#", "".join(groups))]
