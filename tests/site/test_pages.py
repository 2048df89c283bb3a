"""The site as its readers have it: every link leads somewhere, nothing comes from elsewhere, and the pages work."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, final

import pytest
from mkdocs.exceptions import Abort
from playwright.sync_api import Browser, Page, expect, sync_playwright

from docs.playground.tour import RACES
from docs.site import vendored
from docs.site.__main__ import build_site, main
from docs.site.arguments import as_list
from docs.site.reference import MODULES, names_of, owner_of, path_of
from herdless.threads import Cache
from herdless.trace import TraceFile
from tests.needs import strictness
from tests.site.browser import NAMES, found
from tests.site.links import Page as Parsed
from tests.site.links import broken

ROOT = Path(__file__).parents[2]
SHOWN = (
    "index.html",
    "tutorial.html",
    "machine.html",
    "how-to/choose.html",
    "states.html",
    "explanation/compared.html",
    "reference/api/herdless_core.html",
)
"""One page of each kind, with all that could be too wide: tables, pictures, forms, signatures."""

LONG_MS = 60_000
"""How long a browser may take, milliseconds: a bound for what hangs, which nothing here comes near."""


def missing(why: str) -> None:
    """What cannot be had is a skip, unless nothing may be skipped."""
    if strictness() == "1":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. What MkDocs warns of ends the build."""
    folder = tmp_path_factory.mktemp("site")
    try:
        build_site(folder)
    except vendored.Unavailable as error:
        missing(str(error))
    return folder


@final
class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Keep it."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served, to this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's own browser, without a window."""
    program = found()
    if program is None:
        missing(f"none of {', '.join(NAMES)} is on the path (apt-get install chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page; at its end nothing was asked of another host, and nothing was complained of."""
    context = browser.new_context(base_url=address)
    context.set_default_timeout(LONG_MS)
    expect.set_options(timeout=LONG_MS)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("request", lambda request: wrong.append(request.url) if is_elsewhere(request.url, address) else None)
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    yield opened
    context.close()
    assert wrong == []


def is_elsewhere(url: str, address: str) -> bool:
    """Whether a request leaves the site."""
    return not url.startswith((address, "data:", "blob:"))


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """Pages, anchors, pictures, scripts, those in raw HTML too, of which MkDocs knows nothing."""
    assert list(broken(site)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """The look above can fail, for each kind."""
    (tmp_path / "a.html").write_text(
        '<a href="b.html">x</a><a href="#nowhere">y</a><script src="https://example.org/x.js"></script>'
        '<link rel="stylesheet" href="c.css">',
        encoding="utf-8",
    )
    assert len(list(broken(tmp_path))) == 4


@pytest.mark.parametrize("wrong", ["[x](missing.md)", "[x](guide.md#no-such-heading)"])
def test_the_build_ends_at_a_wrong_link(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are errors: a page or a heading that is not there."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# Start\n\n{wrong}\n", encoding="utf-8")
    (docs / "guide.md").write_text("# Guide\n", encoding="utf-8")
    config = ROOT / "docs" / "site" / "mkdocs.yml"
    text = re.sub(r"^(hooks|nav|plugins):.*?(?=^\w|\Z)", "", config.read_text(encoding="utf-8"), flags=re.M | re.S)
    (tmp_path / "mkdocs.yml").write_text(text.replace("docs_dir: ..", "docs_dir: docs"), encoding="utf-8")
    monkeypatch.setattr("docs.site.__main__.CONFIG", tmp_path / "mkdocs.yml")
    with pytest.raises(Abort):
        build_site(tmp_path / "built")


def test_command_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error builds nothing."""
    assert main(["--srve"]) == 2
    assert "--srve is not accepted" in capsys.readouterr().err


def test_command_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing was fetched before, npm is needed. The site that was built before stays."""
    (tmp_path / "index.html").write_text("built before", encoding="utf-8")
    monkeypatch.setattr("docs.site.__main__.BUILT", tmp_path)
    monkeypatch.setenv("HERDLESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([]) == 2
    assert "npm is missing" in capsys.readouterr().err
    assert (tmp_path / "index.html").exists()


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_described(module: str, site: Path) -> None:
    """With an anchor of its own, on the page of the module that others have it from."""
    described = {
        each: Parsed((site / path_of(each)).with_suffix(".html")).anchors
        for each in {owner_of(module, name) for name in names_of(module)} | {module}
    }
    owners = {name: owner_of(module, name) for name in names_of(module)}
    assert [name for name, owner in owners.items() if f"{owner}.{name}" not in described[owner]] == []


@pytest.mark.parametrize("module", MODULES)
def test_names_that_are_read_are_those_that_are_imported(module: str) -> None:
    """The pages are made without importing anything; what they say must be so."""
    assert list(names_of(module)) == list(import_module(module).__all__)
    for name in names_of(module):
        assert getattr(import_module(owner_of(module, name)), name) is getattr(import_module(module), name)


def test_arguments_of_docstrings_are_points_of_a_list() -> None:
    """A dozen of them in one paragraph is not read; what is no argument stays as it is."""
    doc = "What it is: this.\n\nttl: how long; it\n    goes on.\nkey, value: both.\n\nRaises: nothing."
    made = "What it is: this.\n\n- `ttl`: how long; it\n    goes on.\n- `key, value`: both.\n\nRaises: nothing."
    assert as_list(doc) == made


def test_every_public_module_has_its_page() -> None:
    """A module whose names are listed in `__all__`, and whose path has no underscore."""
    listed = set()
    for room in ("core", "adapters", "specs"):
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT / room).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            is_public = not any(part.startswith("_") for part in name.split("."))
            if is_public and re.search(r"^__all__", path.read_text(encoding="utf-8"), re.MULTILINE):
                listed.add(name)
    assert listed == set(MODULES)


def test_site_can_be_searched(page: Page) -> None:
    """By the index that is built with it."""
    page.goto("/index.html")
    page.locator("input.md-search__input").focus()
    expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching")  # the index is there
    page.locator("input.md-search__input").press_sequentially("stale_while_revalidate")
    expect(page.locator(".md-search-result__item").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_the_screen(width: int, scheme: Any, page: Page) -> None:
    """Nobody has to scroll sideways, on a desk or on a phone; what is wide scrolls by itself."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    wide = []
    for name in SHOWN:
        page.goto(f"/{name}", wait_until="domcontentloaded")
        shown = page.evaluate("[document.documentElement.scrollWidth, document.body.dataset.mdColorScheme]")
        if shown != [width, "slate" if scheme == "dark" else "default"]:
            wide.append((name, shown))
    assert wide == []


@pytest.fixture
def machine(page: Page) -> Page:
    """The page of the machine, started by its button."""
    page.goto("/machine.html")
    page.click("#start")
    expect(page.locator("#bench")).to_be_visible()
    return page


def press(page: Page, *buttons: str) -> None:
    """Click these buttons of the bench."""
    for button in buttons:
        page.click(f"[data-press='{button}']")


def test_machine_is_played_in_the_browser(machine: Page, site: Path, tmp_path: Path) -> None:
    """By clicking: the bench, its links, a policy that is refused, the whole tour, and traces of the reader's own."""
    press(machine, "get Ann", "get Ben")
    expect(machine.locator("#machine")).to_have_attribute("data-state", "Pending")
    expect(machine.locator("#callers")).to_contain_text("Ben waits for load 1")
    press(machine, "load 1 gives")
    expect(machine.locator("#callers")).to_contain_text("Ann: v1")
    expect(machine.locator("#picture rect.present + text")).to_have_text("Fresh")
    expect(machine.locator("#step")).to_contain_text("predicates hold of this step")
    _links_of_the_step_lead_somewhere(machine, site)
    press(machine, "time 60")
    expect(machine.locator("#machine")).to_have_attribute("data-state", "Stale")

    machine.fill("#policy-ttl", "")
    machine.click("#again")
    expect(machine.locator("#refused")).to_contain_text("ttl")

    machine.click("[data-mode=tour]")
    for number, race in enumerate(RACES):
        machine.select_option("#race", str(number))
        for _ in race.moves:
            machine.click("#next")
        expect(machine.locator("#next")).to_be_disabled()
        expect(machine.locator("#elsewhere")).to_contain_text("Elsewhere:")
        assert machine.locator("#elsewhere a").count() == len(race.sources) + 1
        for name, told in race.told.items():
            expect(machine.locator("#callers")).to_contain_text(f"{name}: {told}")
        _links_of_the_step_lead_somewhere(machine, site)
    machine.click("#back")
    expect(machine.locator("#next")).to_be_enabled()

    trace = tmp_path / "users.trace"
    with TraceFile(trace) as recorder, Cache(str.upper, ttl=60, observe=recorder) as cache:
        cache.get("a")
        cache.invalidate("a")
    machine.click("[data-mode=trace]")
    machine.set_input_files("#file", trace)
    expect(machine.locator("#verdict")).to_contain_text("3 steps are what the machine does")
    machine.click("#later")
    expect(machine.locator("#line")).to_contain_text("step 2 of 3")
    expect(machine.locator("#step")).to_contain_text("LoadSucceeded in Pending")
    lines = trace.read_text(encoding="utf-8").splitlines(keepends=True)
    departing = tmp_path / "departing.trace"
    departing.write_text("".join([*lines[:2], *lines[3:]]), encoding="utf-8")
    machine.set_input_files("#file", departing)
    expect(machine.locator("#verdict")).to_contain_text("departs at line")
    other = tmp_path / "other.txt"
    other.write_text("no trace\n", encoding="utf-8")
    machine.set_input_files("#file", other)
    expect(machine.locator("#verdict")).to_contain_text("line 1")


def _links_of_the_step_lead_somewhere(page: Page, site: Path) -> None:
    """Its rule and its promises: made by the page itself, so that the look at the files does not see them."""
    for link in page.locator("#step a").all():
        target, _, anchor = (link.get_attribute("href") or "").partition("#")
        assert anchor in Parsed(site / target).anchors


def test_choosing_gives_an_adapter_and_a_bill(page: Page) -> None:
    """By clicking: each answer leads to one snippet, and a price that is missing is asked for."""
    page.goto("/how-to/choose.html")
    advice = page.locator("#advice")
    expect(advice).to_contain_text("herdless.asyncio.Cache")
    page.select_option("[name=processes]", "several")
    expect(advice).to_contain_text("herdless.asyncio.SharedCache")
    page.select_option("[name=runtime]", "threads")
    expect(advice).to_contain_text("herdless.threads.SharedCache")
    page.check("[name=cancels]")
    expect(advice).to_contain_text("load_timeout")
    page.select_option("[name=runtime]", "trio")
    expect(advice).to_contain_text("herdless.trio.SharedCache")
    page.select_option("[name=runtime]", "workers")
    page.check("[name=hot]")
    expect(advice).to_contain_text("readers")
    for runtime in ("asyncio", "trio", "threads", "workers"):
        page.select_option("[name=runtime]", runtime)
        expect(advice.locator("a").last).to_have_attribute("href", re.compile(r"^\.\./\w"))

    bill = page.locator("#bill")
    expect(bill).to_contain_text("enter the price of queries and store commands")
    page.fill("#prices [name=requests]", "1")
    page.fill("#prices [name=query]", "2")
    page.fill("#prices [name=command]", "0")
    expect(bill.locator("tr", has_text="no cache").locator("td").last).to_have_text("2")
    expect(bill.locator("tr", has_text="one process").locator("td").last).to_have_text("0.78")
    expect(bill.locator("tr", has_text="fleet").locator("td").last).to_have_text("0.78")
    expect(bill.locator("tr", has_text="actor")).to_contain_text("enter the price of messages and state writes")
