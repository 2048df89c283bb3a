"""Public names that are imported where they are first asked for, so that nobody else pays for them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def give_lazily(module: str, name: str, source: str) -> Callable[[], Any]:
    """Let the module have the name, of the module `source`, without importing that before it is asked for. Returns what
    gives it to the module itself.

    Type checkers are told by an import under `TYPE_CHECKING`. A `__getattr__` that they saw would let every wrong name
    pass.
    """

    def give(asked: str) -> Any:
        if asked != name:
            raise AttributeError(f"module {module!r} has no attribute {asked!r}")
        return give_it()

    def give_it() -> Any:
        return getattr(importlib.import_module(source), name)

    sys.modules[module].__getattr__ = give  # type: ignore[method-assign]  # PEP 562
    return give_it
