"""No module of this project is imported by a text, where the table of who may import whom would not see it."""

from __future__ import annotations

import ast

import pytest

from tests.core.test_layering import OWN, modules


def by_name(source: str) -> list[int]:
    """The lines in which a module of this project is imported by a text, which no type checker and no table sees."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if ast.unparse(call.func).split(".")[-1] in {"import_module", "__import__", "spec_from_file_location"}
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and str(node.value).split(".")[0] in OWN
    ]


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_own_module_is_imported_by_its_name_as_a_text(module: str) -> None:
    """Two packages that needed each other would look as if they did not."""
    assert by_name(modules()[module].read_text(encoding="utf-8")) == []


def test_the_look_into_the_source_would_see_one() -> None:
    """It finds a text that is only made when it runs, too."""
    assert by_name("import importlib\nimportlib.import_module(f'herdless.{runtime}')") == [2]
