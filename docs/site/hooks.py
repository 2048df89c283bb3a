"""What docs/ needs to become pages: its links are for readers of the repository, and some pages are made here."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from docs.site import bundle, reference, vendored

ROOT: Final = Path(__file__).parents[2]
REPOSITORY: Final = "https://github.com/herdless/herdless"

_LINK: Final = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?(?=\))")
_SAID_MORE: Final = re.compile(r"^```(\w+) [\w ]+$", re.MULTILINE)
_FENCED: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

SECTIONS: Final = {"how-to": "How-to", "reference": "Reference", "project": "Project"}
"""Where a page goes that the navigation does not name, by its folder; all others are explanations."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the navigation: the pages of the API, and those that somebody has added to a folder."""
    nav: list[dict[str, Any]] = config.nav or []
    by_name = {name: pages for section in nav for name, pages in section.items()}
    by_name["Reference"][:0] = [{"API": [{name: reference.path_of(name)} for name in reference.MODULES]}]
    named = set(_paths(nav))
    docs = Path(config.docs_dir)
    for path in sorted(docs.rglob("*.md")):
        name = path.relative_to(docs).as_posix()
        if name not in named and not name.startswith(("examples/", "site/", "generate/")):
            by_name[SECTIONS.get(name.partition("/")[0], "Explanation")].append({_title_of(path): name})
    return config


def _paths(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for each in nav.values() if isinstance(nav, dict) else nav:
            yield from _paths(each)


def _title_of(path: Path) -> str:
    found = re.search(r"^# (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].replace("`", "") if found else path.stem


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made as we build: the API, the Python for the browser, and what comes from npm."""
    for module in reference.MODULES:
        files.append(File.generated(config, reference.path_of(module), content=reference.page_of(module)))
    files.append(File.generated(config, bundle.TARGET, content=bundle.archive()))
    for target, source in vendored.files().items():
        files.append(File.generated(config, target, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to what is no page into the repository, and leave of a fence's words the language alone."""
    parts = _FENCED.split(markdown)
    fences = _FENCED.findall(markdown)
    told = [_LINK.sub(lambda link: _target(page, files, link), part) for part in parts]
    code = [_SAID_MORE.sub(r"```\1", fence) for fence in fences]
    return told[0] + "".join(fence + part for fence, part in zip(code, told[1:], strict=True))


def _target(page: Page, files: Files, link: re.Match[str]) -> str:
    path, anchor = link[1], link[2] or ""
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), path))
    file = files.get_file_from_path(inside)
    if file is not None and file.inclusion is not InclusionLevel.EXCLUDED:
        return f"{path}{anchor}"
    there = posixpath.normpath(posixpath.join("docs", inside))
    if not (ROOT / there).exists():
        return f"{path}{anchor}"  # MkDocs complains of it
    return f"{REPOSITORY}/{'tree' if (ROOT / there).is_dir() else 'blob'}/main/{there}{anchor}"


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page that has a diagram of Mermaid loads it from the site itself; the theme would ask another host for it."""
    if 'class="mermaid"' not in html:
        return html
    script = posixpath.relpath("assets/vendored/mermaid.min.js", posixpath.dirname(page.file.dest_uri) or ".")
    return f'{html}\n<script src="{script}"></script>'
