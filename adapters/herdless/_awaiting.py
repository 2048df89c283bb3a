"""Whether one asyncio task waits for another, as far as asyncio lets it be seen.

A task that a load starts inherits the load's context. Only where the load waits for that task does the task's own wait
keep the load from ending. Who waits for a task is among its callbacks: asyncio puts there what wakes the waiting task
(`await task`), or what ends a future for which it waits (`gather`, `wait`, `wait_for`, a TaskGroup).
"""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Iterable, Iterator
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any, Final

MOST_LOOKED_AT: Final = 1_000
"""So many futures and callbacks at most are looked at."""


def waits_for(waiting: asyncio.Future[Any], target: asyncio.Future[Any]) -> bool:
    """Whether the task `waiting` cannot go on before `target` has ended, directly or through others."""
    goals = {id(waiting), id(getattr(waiting, "_fut_waiter", None) or waiting)}
    seen: set[int] = set()
    rest: list[asyncio.Future[Any]] = [target]
    while rest and len(seen) < MOST_LOOKED_AT:
        future = rest.pop()
        if id(future) in goals:
            return True
        if id(future) not in seen:
            seen.add(id(future))
            rest.extend(_woken_by(future))
    return False


def _woken_by(future: asyncio.Future[Any]) -> Iterator[asyncio.Future[Any]]:
    """The futures and tasks that the end of this one may end or wake."""
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for reached in _reached_from(callback):
            if asyncio.isfuture(reached):
                yield reached
            elif not isinstance(reached, FunctionType | type):  # a TaskGroup, or another keeper of futures
                yield from filter(asyncio.isfuture, getattr(reached, "__dict__", {}).values())


def _reached_from(callback: object) -> Iterable[object]:
    """What a callback holds."""
    match callback:
        case functools.partial():
            return (*callback.args, *_reached_from(callback.func))
        case MethodType() | BuiltinMethodType():
            return (callback.__self__,)
        case FunctionType():
            return tuple(cell.cell_contents for cell in callback.__closure__ or () if _is_filled(cell))
        case _:
            return gc.get_referents(callback)  # C's own wrapper of a task to wake


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
