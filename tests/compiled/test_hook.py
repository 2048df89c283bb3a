"""What the build hook writes into the copy that mypyc compiles; the wheel itself takes `python -m tests.compiled`."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load_hook() -> ModuleType:
    """The hook, which is in no package."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "core" / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOK = load_hook()
COMPILED = [
    path
    for package, room in HOOK.ROOMS.items()
    for path in sorted((ROOT / room / package).glob("*.py"))
    if path.stem not in HOOK.INTERPRETED
]


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_no_line_moves_that_a_traceback_can_name(path: Path) -> None:
    """The wheel carries the sources as they are; so the functions must be in the copy where they are in these."""
    source = path.read_text(encoding="utf-8")
    before, after = (_functions(text) for text in (source, HOOK.prepared(source, path.stem)))
    assert before.keys() <= after.keys()
    if path.stem != "_states":  # properties for class variables; none of its functions below them raises
        assert {name: after[name] for name in before} == before


def _functions(source: str) -> dict[tuple[str, str], int]:
    """The line of each function and method."""
    found: dict[tuple[str, str], int] = {}
    for owner in ast.walk(ast.parse(source)):
        for node in getattr(owner, "body", ()) if isinstance(owner, ast.Module | ast.ClassDef) else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[getattr(owner, "name", ""), node.name] = node.lineno
    return found


def test_classes_and_arguments_the_hook_names_are_there() -> None:
    """A class that was renamed would be compiled as a final one, an argument be refused in mypyc's words."""
    names = {
        f"{path.stem}.{node.name}" for path in COMPILED for node in ast.parse(path.read_bytes()).body if _is_named(node)
    }
    assert HOOK.INHERITABLE | HOOK.SERIALIZABLE | HOOK.JUDGED.keys() <= names


def test_derived_attributes_are_there() -> None:
    """One that was renamed would be kept in each entry again, and nobody told."""
    fields = {
        f"{path.stem}.{node.name}": {name for name, _, value in HOOK.annotated(node) if value is None}
        for path in COMPILED
        for node in ast.parse(path.read_bytes()).body
        if isinstance(node, ast.ClassDef)
    }
    assert all(derived.keys() <= fields[name] for name, derived in HOOK.DERIVED.items())


def test_runtime_that_throws_otherwise_is_told(tmp_path: Path) -> None:
    """A mypyc whose runtime is another one must be looked at, not compiled with as if it were mended."""
    (tmp_path / "misc_ops.c").write_text("")
    with pytest.raises(ValueError, match=r"expects one PyObject_CallFunctionObjArgs.* in mypyc's misc_ops\.c, not 0"):
        HOOK.throwing_one_argument("#include <misc_ops.c>", tmp_path)


def _is_named(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef | ast.FunctionDef)


def test_interpreted_modules_are_there() -> None:
    """A reason for a module that is gone says nothing."""
    stems = {path.stem for room in ("core/herdless_core", "adapters/herdless") for path in (ROOT / room).glob("*")}
    assert HOOK.INTERPRETED.keys() <= stems


def test_place_that_is_taken_is_told() -> None:
    """Rather than compile something else than the sources."""
    with pytest.raises(ValueError, match="expects a blank line"):
        HOOK.prepared("@dataclass(slots=True)\nclass A:\n    a: int\nb = 1\n", "a")
