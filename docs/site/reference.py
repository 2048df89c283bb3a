"""The pages of the API, made of the docstrings: one for each public module, with every name of its `__all__`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

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
    """The module on whose page a public name of this module is described: the first one that has it."""
    thing = getattr(import_module(module), name)
    return next(each for each in MODULES if name in names_of(each) and getattr(import_module(each), name) is thing)


def names_of(module: str) -> list[str]:
    """The public names of a module."""
    return list(import_module(module).__all__)
