"""Loaders: a cache's own, and those that callers bring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from herdless_core import NoLoader, PolicyError

Loader: TypeAlias = Callable[[Any], Any]
"""From a key to its value, or to what has to be awaited for that."""


def require_loader(load: object) -> None:
    """Raise PolicyError for what cannot be called."""
    if not callable(load):
        raise PolicyError(f"load={load!r} is not accepted: give a function of one key")


def no_loader(key: object) -> object:
    """What a cache without a loader has in its place. Not asked: such lookups are refused before they start a load."""
    raise NoLoader("there is no loader: give load=")
