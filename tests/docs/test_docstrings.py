"""Docstrings say what a caller has to know: of three arguments or more, each is named."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

MODULES: Final = (
    "herdless",
    "herdless.adapter",
    "herdless.asyncio",
    "herdless.codecs",
    "herdless.durable_objects",
    "herdless.stores",
    "herdless.testing",
    "herdless.testing.store",
    "herdless.threads",
    "herdless.trace",
    "herdless.trio",
    "herdless_core",
    "herdless_core.invariants",
    "herdless_core.table",
    "herdless_verify",
    "herdless_verify.contract",
)

ELSEWHERE: Final = re.compile(r"\b(as (for|in|to)|like|see|as) `\w+`|The same", re.IGNORECASE)
"""What sends a reader to the docstring that names the rest."""


def own_methods(item: type) -> Iterator[tuple[str, Any]]:
    """The public methods and the constructor: not what a dataclass makes, whose fields have docstrings of their own,
    nor what another library has defined.
    """
    for name, function in vars(item).items():
        is_made = name == "__init__" and dataclasses.is_dataclass(item)
        is_foreign = any(name in vars(base) for base in item.__mro__[1:-1] if base.__module__.startswith("asyncio"))
        is_public = name == "__init__" or not name.startswith("_")
        if inspect.isfunction(function) and is_public and not (is_made or is_foreign):
            yield name, function


def functions() -> Iterator[tuple[str, Any, str]]:
    """Every public function, method and constructor, with the docstring of which the reader is shown the arguments."""
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isclass(item):
                for method, function in own_methods(item):
                    doc = f"{item.__doc__} {function.__doc__}" if method == "__init__" else str(function.__doc__)
                    yield f"{module.__name__}.{name}.{method}", function, doc
            elif inspect.isfunction(item):
                yield f"{module.__name__}.{name}", item, str(inspect.getdoc(item))


def unnamed(function: Any, doc: str) -> list[str]:
    """The arguments that the docstring does not name, where there are three or more."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    arguments = [p.name for p in inspect.signature(function).parameters.values() if p.kind not in kinds]
    arguments = [name for name in arguments if name != "self" and not name.startswith("_")]
    missing = [name for name in arguments if not re.search(rf"\b{name}\b", doc)]
    return missing if len(arguments) >= 3 and not ELSEWHERE.search(doc) else []


@pytest.mark.parametrize(("name", "function", "doc"), [pytest.param(*each, id=each[0]) for each in functions()])
def test_docstring_names_each_of_three_arguments(name: str, function: Any, doc: str) -> None:
    """Unit and range are looked up there, in an editor, and nowhere else."""
    assert not unnamed(function, doc), f"{name} does not name {unnamed(function, doc)}"
