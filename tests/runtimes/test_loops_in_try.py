"""An interrupt may come in where a loop begins again; from Python 3.12 on a `try` around it may not notice."""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

import herdless
import herdless_core

Span = tuple[tuple[int, int], tuple[int, int]]
"""Its beginning and its end, each a line and a column."""

MODULES = [
    path
    for package in (herdless, herdless_core)
    for path in sorted(Path(package.__file__ or "").parent.rglob("*.py"))
    if not {"_testing", "testing", "_command", "_trace"} & {part for parent in path.parents for part in (parent.name,)}
]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_loop_in_a_try_is_protected_where_it_begins_again(path: Path) -> None:
    """CPython's table of handlers leaves out the jump back from an `if` that ends a loop, and that of a comprehension:
    Ctrl-C there passes by `finally`, `except BaseException` and `with`, and what they hold is never given back. A loop
    in a function of its own is safe, for the call is protected.
    """
    source = path.read_text(encoding="utf-8")
    assert list(unprotected(source)) == []


def test_loop_that_is_not_protected_is_found() -> None:
    """What is looked for is there, in the Pythons that have it; this one says so itself."""
    assert set(unprotected(LEAKY)) <= {"leaky:5"}
    assert list(unprotected(SAFE)) == []


LEAKY = """
def leaky(each):
    try:
        for one in each:
            if one: one()
    finally:
        print()
"""

SAFE = """
def safe(each):
    try:
        call_all(each)
    finally:
        print()
"""


def unprotected(source: str) -> Iterator[str]:
    """The functions, and the lines, of the jumps back for which there is no handler, although they stand in the body of
    a `try` that has one for interrupts, or of a `with`.
    """
    spans = list(_bodies(ast.parse(source)))
    for code in _functions(compile(source, "a module", "exec")):
        if code.co_name.startswith("<") and code.co_name != "<module>":
            continue  # a function of its own, in Python 3.11: without statements, so without a `try`
        bytecode = dis.Bytecode(code)
        handlers = [(entry.start, entry.end) for entry in bytecode.exception_entries]  # type: ignore[attr-defined]  # in 3.11 and later
        for step in bytecode:
            at = _span(step)
            if not step.opname.startswith("JUMP_BACKWARD") or step.opname.endswith("NO_INTERRUPT") or at is None:
                continue
            is_in_body = any(
                begin >= (code.co_firstlineno, 0) and begin <= at[0] and at[1] <= end for begin, end in spans
            )
            if is_in_body and not any(start <= step.offset < end for start, end in handlers):
                yield f"{code.co_qualname}:{at[0][0]}"


def _bodies(tree: ast.AST) -> Iterator[Span]:
    for node in ast.walk(tree):
        if isinstance(node, ast.With) or (isinstance(node, ast.Try) and _handles_interrupts(node)):
            first, last = node.body[0], node.body[-1]
            yield (first.lineno, first.col_offset), (last.end_lineno or 0, last.end_col_offset or 0)


def _handles_interrupts(node: ast.Try) -> bool:
    return bool(node.finalbody) or any(
        handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id == "BaseException")
        for handler in node.handlers
    )


def _functions(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _functions(each)


def _span(step: dis.Instruction) -> Span | None:
    where = step.positions
    if where is None or where.lineno is None or where.end_lineno is None:
        return None
    return (where.lineno, where.col_offset or 0), (where.end_lineno, where.end_col_offset or 0)
