"""Everything that takes a cache's lock is built in one way, and the copies that speed asks for do not differ."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.adapter import BaseCache

FOLDER: Final = Path(str(herdless.__file__)).parent
MENDS: Final = "self._mend("

TAKERS: Final = {
    "_section.Section._take",
    "_section.Section._enter_from",
    "_section.Section._mend",
    "_reports.Reports._succeeded",
}
"""The functions that take the lock: one for changes and questions, one for lookups, one for the report of a value,
since a call between would cost every miss; and what mends, which runs where one of them was broken off.
"""

LAUNCHERS: Final = {
    *TAKERS - {"_section.Section._mend"},
    "_threads_waits.ThreadsWaits._answer_by",
    "_decorator._sync.call",
}
"""The functions that have to mend where they are broken off: those above, and where a caller may run its own load."""


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of the adapters, by its qualified name."""
    for path in sorted(FOLDER.glob("*.py")):
        yield from _functions(ast.parse(path.read_text(encoding="utf-8")), path.stem)


def _functions(node: ast.AST, name: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}.{child.name}", child
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _functions(child, f"{name}.{child.name}")
        elif not isinstance(child, ast.expr):
            yield from _functions(child, name)


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The statements of a function, but for those of functions inside of it."""
    for child in ast.iter_child_nodes(function):
        if isinstance(child, ast.stmt) and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (ast.unparse(each) for each in ast.walk(child) if isinstance(each, ast.Expr | ast.Assign))


def test_the_lock_is_taken_in_four_places_and_nowhere_else() -> None:
    """A fifth one would have to keep all the rules of `herdless._section` again."""
    takers = {name for name, function in functions() if "self._lock.acquire()" in own_lines(function)}
    assert takers == TAKERS
    text = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py"))
    assert "with self._lock" not in text


def test_nothing_else_mends() -> None:
    """What mends gives back the lock, and gives up what this thread boarded: it is for those who may have either."""
    menders = {
        name
        for name, function in functions()
        if any(line.startswith((MENDS, "cache._mend(")) for line in own_lines(function))
    }
    assert menders == LAUNCHERS


@pytest.mark.parametrize("name", sorted(LAUNCHERS - {"_decorator._sync.call"}))
def test_what_is_broken_off_is_mended_where_the_mending_is_broken_off_too(name: str) -> None:
    """An interrupt may come into the handler of an error. So there are two `try`, the outer one around all of the inner
    one, and nothing between them.
    """
    function = dict(functions())[name]
    outer = next(each for each in function.body if isinstance(each, ast.Try))
    (inner,) = outer.body
    assert isinstance(inner, ast.Try)
    assert "is_mended = False" in [ast.unparse(each) for each in function.body[: function.body.index(outer)]]

    (handler,) = inner.handlers
    assert ast.unparse(handler.type or ast.Tuple([])) == "Exception"
    mending, noted, raised = map(ast.unparse, handler.body)
    assert mending.startswith(MENDS)
    assert (noted, raised) == ("is_mended = True", "raise")

    (handler,) = outer.handlers
    assert ast.unparse(handler.type or ast.Tuple([])) == "BaseException"
    unless, raised = map(ast.unparse, handler.body)
    more_room = "    has_more = isinstance(error, RecursionError)\n    if has_more:\n        setrecursionlimit("
    mends = re.sub(rf"^{re.escape(more_room)}.*\n", "", unless, flags=re.MULTILINE)  # where nobody has asked for it
    assert mends.startswith(f"if not is_mended:\n    {MENDS}")
    assert raised == "raise"
    for each in (inner, outer):
        assert not each.orelse
        assert not each.finalbody


@pytest.mark.parametrize("name", sorted(TAKERS - {"_section.Section._mend"}))
def test_the_lock_is_taken_inside_and_left_before_a_load_is_launched(name: str) -> None:
    """In this order: the lock, the mark that somebody is inside, the step, the way out, the launch."""
    function = dict(functions())[name]
    outer = next(each for each in function.body if isinstance(each, ast.Try))
    inner = outer.body[0]
    assert isinstance(inner, ast.Try)
    lines = [ast.unparse(each) for each in inner.body]
    assert lines[:2] == ["self._lock.acquire()", "self._is_entered = True"]
    assert "self._launch(" in lines[-1]
    assert "self._leave()" in lines[-2], "the lock is left just before"
    if lines[-2].startswith("if"):  # without a call where nothing was put off and nothing has left the cache
        assert lines[-2] == (
            "if self._leaving or self._postponed:\n    gone = self._leave()\nelse:\n    self._lock.release()"
        )
        assert lines[-3] == "self._is_entered = False", "what comes in after the look would be put off, and lost"


def test_lookups_of_every_runtime_are_made_in_one_place() -> None:
    """None of herdless's own adapters has a critical section of its own."""
    for cache in (herdless.asyncio.Cache, herdless.threads.Cache, herdless.trio.Cache):
        assert cache._enter_from is BaseCache._enter_from
