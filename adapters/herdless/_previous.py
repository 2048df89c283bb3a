"""Loaders that are given the value before: which they are, and how they are called.

A cache calls every loader with one argument, its key. A loader of two is wrapped: what it is to be given stands in the
record of its load, which `LOADING` tells. So a loader of one argument costs nothing more than ever.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from herdless._answers import awaitable, not_awaitable
from herdless._section import LOADING
from herdless_core import PolicyError, Previous, RunningLoad
from herdless_core._previous import Kept, is_not_modified, resolved


def takes_previous(load: Callable[..., Any], said: object) -> bool:
    """Whether the loader is given a `Previous`, or None, as its second argument.

    load: the loader; said: what the user says of it. None: it is, if it can be called with two arguments and not with
    one. What says nothing of its arguments, being no Python function, is called with one, and so is what hides them:
    only what is certain never to have worked with one argument may be given a second.

    Raises PolicyError for anything else than None and booleans, and for True where the loader has no place for it.
    """
    if said is not None and not isinstance(said, bool):
        raise PolicyError(f"previous={said!r} is not accepted: give True, False or None")
    signature = None if said is False else _signature(load)
    if signature is None:
        return bool(said)
    if said and not _can_be_called(signature, 2):
        raise PolicyError(
            f"previous=True is not accepted, load={load!r} has no second argument for it: give a function of a key and "
            "of its previous value, which may be None"
        )
    return bool(said) or (_can_be_called(signature, 2) and not _can_be_called(signature, 1))


def _signature(load: Any) -> inspect.Signature | None:
    """That of a function, a method, a partial, or an object with a `__call__` of Python's; not of what it wraps."""
    if not isinstance(load, FunctionType | MethodType | functools.partial):
        if not isinstance(getattr(type(load), "__call__", None), FunctionType):  # noqa: B004  # of which kind it is
            return None
        load = load.__call__
    try:
        return inspect.signature(load, follow_wrapped=False)
    except (TypeError, ValueError):  # of a partial of something that has none
        return None


def _can_be_called(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        return False
    return True


def awaited_with_previous(load: Callable[..., Any]) -> Callable[[Any], Any]:
    """An async loader of two arguments, as one of a key."""

    async def load_again(key: Any) -> object:
        flight, kept = LOADING.get(), take_kept()
        return _resolved(await awaitable(load, load(key, previous_in(kept))), kept, flight)

    return _named(load_again, load)


def called_with_previous(load: Callable[..., Any]) -> Callable[[Any], Any]:
    """A loader of two arguments that returns the value, as one of a key."""

    def load_again(key: Any) -> object:
        flight, kept = LOADING.get(), take_kept()
        return _resolved(not_awaitable(load, load(key, previous_in(kept))), kept, flight)

    return _named(load_again, load)


def take_kept() -> Kept | None:
    """What was kept when the load was ordered inside which this is called. Once: the load's record keeps nothing."""
    flight = LOADING.get()
    if flight is None:
        return None
    kept, flight.kept = flight.kept, None
    return kept


def previous_in(kept: Kept | None) -> Previous[Any] | None:
    """What the loader is given of it."""
    return None if kept is None else kept.previous


def _resolved(loaded: object, kept: Kept | None, flight: RunningLoad | None) -> object:
    """What the load gives, whose loader was given the value in `kept`, and returned `loaded`."""
    if flight is not None:
        flight.gives_back = is_not_modified(loaded)
    return resolved(loaded, kept)


def _named(function: Callable[[Any], Any], load: object) -> Callable[[Any], Any]:
    """By the loader's name, in tracebacks and messages. Not `functools.wraps`: it has another signature."""
    name = getattr(load, "__qualname__", type(load).__qualname__)
    if isinstance(name, str):
        function.__qualname__ = name
    return function
