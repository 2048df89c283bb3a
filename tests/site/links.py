"""What a built page refers to."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final, final
from urllib.parse import unquote, urlsplit

LOADED: Final = {("img", "src"), ("script", "src"), ("source", "src"), ("iframe", "src")}
"""What a browser fetches without being asked; so are the `link`s that are no address of the page."""


@final
class Page(HTMLParser):
    """The anchors and the references of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "__top"}
        self.links: Final[list[str]] = []
        self.loaded: Final[list[str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of what the element is called and refers to."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        is_address = given.get("rel") in {"canonical", "prev", "next"}
        for name in ("href", "src"):
            if name in given and not is_address:
                is_loaded = (tag, name) in LOADED or tag == "link"
                (self.loaded if is_loaded else self.links).append(given[name])


def broken(site: Path) -> Iterator[str]:
    """Every reference of the site that leads to nothing in it, or loads something from elsewhere."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    for path, page in pages.items():
        where = path.relative_to(site).as_posix()
        for reference in page.loaded:
            if urlsplit(reference).scheme not in {"", "data"}:
                yield f"{where} loads {reference}"
        for reference in [*page.links, *page.loaded]:
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{where} refers to {reference}, which is not there"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{where} refers to {reference}, and there is no such anchor"
