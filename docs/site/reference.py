"""The pages of the API, made of the docstrings: one for each public module, with every name of its `__all__`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("core", "adapters", "specs")

MODULES: Final[Mapping[str, str]] = {
    "herdless": "what all runtimes share",
    "herdless.asyncio": "caches on event loops",
    "herdless.trio": "caches under trio",
    "herdless.threads": "caches of threads",
    "herdless.durable_objects": "a key in an object of its own",
    "herdless.stores": "where a fleet's records lie",
    "herdless.codecs": "how a fleet's values are written",
    "herdless.django": "the backend of Django",
    "herdless.instrument": "metrics and spans",
    "herdless.trace": "what a cache did, in a file",
    "herdless.testing": "clocks, schedules, interrupts",
    "herdless.testing.store": "what every store has to keep",
    "herdless.adapter": "what every adapter is made of",
    "herdless_core": "the machine, and many entries",
    "herdless_core.invariants": "the promises as predicates",
    "herdless_core.table": "all moves",
    "herdless_verify": "the exploration",
    "herdless_verify.contract": "what every runtime has to keep",
    "herdless_verify.fleet": "a fleet's processes in every order",
}
"""All public modules, in the order of the pages, and what is in each."""


def path_of(module: str) -> str:
    """Where the page of a module stands."""
    return f"reference/api/{module}.md"


def page_of(module: str) -> str:
    """The page of a module for mkdocstrings: what it is, each of its own names, and where the others are."""
    own = [name for name in names_of(module) if owner_of(module, name) == module]
    others = [(name, owner_of(module, name)) for name in names_of(module) if owner_of(module, name) != module]
    parts = [
        f"# `{module}`: {MODULES[module]}",
        f"::: {module}\n    options: {{members: false, show_root_heading: false}}",
    ]
    parts += [f"::: {module}.{name}" for name in own]
    if others:
        links = [f"[`{name}`]({owner}.md#{owner}.{name})" for name, owner in others]
        parts += ["## Also here", f"The same as elsewhere: {', '.join(links)}."]
    return "\n\n".join(parts) + "\n"


def owner_of(module: str, name: str) -> str:
    """The module on whose page a public name of this module is described: the first one that has the same thing."""
    origin = _origin(module, name)
    return next(each for each in MODULES if name in names_of(each) and _origin(each, name) == origin)


@cache
def names_of(module: str) -> tuple[str, ...]:
    """The public names of a module, read without importing it: what it binds to need not be installed."""
    for node in ast.walk(_parsed(module)):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.List):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if ast.unparse(target) == "__all__":
                return tuple(ast.literal_eval(node.value))
    raise ValueError(f"{module} has no __all__")


@cache
def _origin(module: str, name: str) -> tuple[str, str]:
    """Where a name was made: by which module, under which name there."""
    for node in ast.walk(_parsed(module)):
        if isinstance(node, ast.ImportFrom) and node.module is not None and _file(node.module):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return _origin(node.module, alias.name)
    return module, name


@cache
def _parsed(module: str) -> ast.Module:
    path = _file(module)
    if path is None:
        raise ValueError(f"there is no module {module}")
    return ast.parse(path.read_text(encoding="utf-8"))


def _file(module: str) -> Path | None:
    """The file of a module of ours; None for others."""
    parts = module.split(".")
    places = [ROOT.joinpath(room, *parts) for room in ROOMS]
    found = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    return found[0] if found else None
