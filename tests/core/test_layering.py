"""The border between the pure core and the world, checked in the source itself."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

import herdless
import herdless_core

CORE: Final = Path(herdless_core.__file__).parent
ADAPTERS: Final = Path(herdless.__file__).parent

PURE: Final = {"__future__", "collections", "collections.abc", "dataclasses", "datetime", "enum", "types", "typing"}
"""The standard modules that the core may import: none of them knows the time, a thread, chance or the world."""

IMPURE_BUILTINS: Final = {"open", "print", "input", "exec", "eval", "compile", "breakpoint", "__import__", "globals"}

RUNTIMES: Final = {"asyncio", "trio", "threads", "durable_objects"}


def _sources(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*.py")) if "_specs" not in path.parts]  # which a wheel carries


def _imports(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively, which hides the side of the border"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", _sources(CORE), ids=lambda path: path.stem)
def test_the_core_imports_only_what_is_pure(path: Path) -> None:
    """A clock, lock, loop or random number in the core would make it neither deterministic nor checkable."""
    foreign = {name for name in _imports(path) if name.split(".")[0] != "herdless_core"}
    assert foreign <= PURE


@pytest.mark.parametrize("path", _sources(CORE), ids=lambda path: path.stem)
def test_the_core_calls_no_builtin_with_side_effects(path: Path) -> None:
    """I/O needs no import in Python, so the builtins that do it are looked for by name."""
    names = {node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)}
    assert not names & IMPURE_BUILTINS


@pytest.mark.parametrize("path", _sources(ADAPTERS), ids=lambda path: path.stem)
def test_runtimes_do_not_know_each_other(path: Path) -> None:
    """Whoever uses one runtime must not import, nor need installed, another."""
    runtimes = {f"herdless.{name}" for name in RUNTIMES}
    own = f"herdless.{path.stem}"
    if path.parent == ADAPTERS and path.stem in RUNTIMES:
        assert not (_imports(path) & runtimes) - {own}
    elif path.parent == ADAPTERS and path.stem.startswith("_") and path.stem != "__main__":
        assert not _imports(path) & runtimes, "what the runtimes share must not depend on one of them"


def test_the_looks_into_the_source_would_see_an_import() -> None:
    """The tests above are only worth something if the walk finds imports, inside functions too."""
    found = set().union(*(_imports(path) for path in _sources(ADAPTERS)))
    assert {"herdless_core", "time", "asyncio", "threading", "random"} <= found
    assert RUNTIMES & {path.stem for path in _sources(ADAPTERS)} >= {"asyncio", "trio", "threads"}


def test_every_public_name_is_exported_once_and_exists() -> None:
    """`__all__` is what users and documentation go by."""
    for module in (herdless, herdless_core):
        assert list(module.__all__) == sorted(set(module.__all__), key=module.__all__.index)
        assert all(hasattr(module, name) for name in module.__all__)
