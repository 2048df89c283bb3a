"""What callers and waiters are told: the same sentences in every runtime, and for an object of one key.

No function here knows a lock, a loop or a thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from types import CoroutineType
from typing import Any

from herdless_core import Answer, Failure, LoadCancelled, Outcome, Refuse, RunningLoad, ShowKey, Value
from herdless_core._copies import give_back_context


def value_of(outcome: Outcome) -> Value:
    """What a waiter was answered with: the value, or else a copy of the load's exception is raised.

    The copy has the loader's traceback, and for its context the loader's own and then this caller's.
    """
    if isinstance(outcome, Failure):
        error = outcome.exception()
        context = error.__context__
        try:
            raise error
        finally:
            if context is not None:
                give_back_context(error, context)
            del error, context  # of which this frame, which is in its traceback, would make a cycle
    return outcome


def value_of_reload(load: RunningLoad, outcome: Outcome) -> Value:
    """What a caller is answered with who asked for this very load: where a value that is kept covers its failure, the
    failure.
    """
    if isinstance(outcome, Value) and load.failure is not None:
        return value_of(load.failure)
    return value_of(outcome)


def value_of_reply(key: object, reply: Answer | Refuse, shown: ShowKey) -> Value:
    """The value of a lookup that need not wait; its load's exception raised, or TooManyWaiters.

    key: what was looked up; reply: what the step said; shown: from the key to its text, `self._shown` in an adapter.
    """
    if isinstance(reply, Answer):
        return value_of(reply.outcome)
    raise reply.error(shown(key))


def error_told(error: BaseException, key: object, shown: ShowKey) -> Exception:
    """What the waiters are told of a load that ended by this error: the error itself, or LoadCancelled, whose cause it
    is, where it is no `Exception` and stops the one that runs the load.

    key: what was loaded; shown: from the key to its text.
    """
    return error if isinstance(error, Exception) else stopped_by(error, f"the load of {shown(key)}")


def stopped_by(error: BaseException, what: str) -> LoadCancelled:
    """What is told of this load, in words, which ended by what is no `Exception`: that is the cause."""
    cancelled = LoadCancelled(f"{what} ended by {type(error).__name__}")
    cancelled.__cause__ = error
    return cancelled


def without_this_frame(error: Exception) -> Exception:
    """The exception without the first frame of its traceback: it is that of who has caught it, and is not to be
    kept.
    """
    traceback = error.__traceback__
    return BaseException.with_traceback(error, None if traceback is None else traceback.tb_next)


def awaitable(load: object, returned: Any) -> Awaitable[Any]:
    """What the loader `load` returned, to be awaited; TypeError where it is a function of another colour."""
    if isinstance(returned, CoroutineType) or inspect.isawaitable(returned):
        return returned
    raise TypeError(f"load={load!r} is not accepted: give an async function, this one returned {returned!r}")


def not_awaitable(load: object, returned: Any) -> Any:
    """What the loader `load` returned; TypeError where that would still have to be awaited."""
    if isinstance(returned, CoroutineType):
        returned.close()
        raise TypeError(f"load={load!r} is not accepted: give a function that is not async, or another runtime's cache")
    return returned
