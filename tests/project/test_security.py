"""What docs/SECURITY.md says that the library does not do, it does not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("core/herdless_core", "adapters/herdless", "specs/herdless_verify")

MODULES: Final = {"pickle", "marshal", "shelve", "dbm", "socket", "ssl", "http", "urllib", "ftplib", "smtplib", "code"}
"""What makes objects or code of data, or opens a connection."""

CALLS: Final = {"eval", "exec", "compile", "__import__"}

EXCEPTIONS: Final = {
    "adapters/herdless/_command/herd/fleet.py: socket": "a port on loopback that is free for the server it starts",
    "adapters/herdless/_django/places.py: pickle": "copies of values of its own, in memory",
    "adapters/herdless/_django/signed.py: pickle": "what is signed by the site's own key",
    "adapters/herdless/stores/_redis_homes.py: urllib": "reads an address, and opens nothing",
    "specs/herdless_verify/soak/fleet/proxy.py: socket": "it stands before the server, on loopback, and cuts",
    "specs/herdless_verify/soak/fleet/server.py: urllib": "reads an address, and opens nothing",
    "adapters/herdless/codecs.py: pickle": "the codec that says by its name that it is unsafe",
    "specs/herdless_verify/crosshair/samples.py: eval": "the numbers that CrossHair prints",
    "specs/herdless_verify/mistakes.py: compile": "the machine's own source, with a mistake in it",
    "specs/herdless_verify/mistakes.py: exec": "the same",
}
"""In Django's backend, in a codec that is used by its name alone, and in the checkers, which run code of their own on
purpose; the page says so."""

PROCESSES: Final = {"subprocess", "multiprocessing"}


def modules(room: str) -> list[Path]:
    """All files of a package."""
    found = sorted((ROOT / room).rglob("*.py"))
    assert found
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level names of all that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def test_nothing_is_unpickled_evaluated_or_connected() -> None:
    """A value from a file, a store or a message cannot become code."""
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for room in ROOMS
        for path in modules(room)
        for tree in [ast.parse(path.read_bytes())]
        for name in {*imported(tree), *called(tree)} & (MODULES | CALLS)
    }
    assert found == EXCEPTIONS.keys()


def called(tree: ast.AST) -> Iterator[str]:
    """The names of what it calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def test_a_cache_starts_no_process() -> None:
    """Only the checkers do, and `herdless herd`, to show several at once."""
    found = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS[:2]
        for path in modules(room)
        if set(imported(ast.parse(path.read_bytes()))) & PROCESSES
    }
    assert found == {"adapters/herdless/_command/herd/fleet.py"}
