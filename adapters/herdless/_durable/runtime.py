"""What the Python runtime of Cloudflare Workers gives, and what stands in for it elsewhere.

Elsewhere everything can be imported, subclassed and type-checked; only making an object says what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from inspect import isfunction
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, final

MISSING: Final = (
    "a CacheObject lives in Cloudflare's Python Workers (workerd, or `pywrangler dev`): "
    "the module `workers` of workers-runtime-sdk cannot be imported here"
)


class Cursor(Protocol):
    """What a statement returned."""

    def raw(self) -> Iterable[Any]:
        """The rows, as sequences of columns."""


class Sql(Protocol):
    """`ctx.storage.sql`. Synchronous; statements with no `await` between them are one transaction."""

    def exec(self, statement: str, *parameters: object) -> Cursor:
        """Run one statement."""


class ObjectStorage(Protocol):
    """`ctx.storage`, the JavaScript object itself. What its methods return is a promise that the output gate awaits."""

    sql: Sql

    def setAlarm(self, at: int) -> object:  # noqa: N802  # JavaScript's name
        """Call `alarm()` at this instant, milliseconds since 1970; replaces an earlier one."""

    def deleteAlarm(self) -> object:  # noqa: N802  # JavaScript's name
        """Do not call `alarm()`."""

    def deleteAll(self) -> object:  # noqa: N802  # JavaScript's name
        """Delete everything that is stored, the tables themselves included."""


if TYPE_CHECKING:

    class DurableObject:
        """The base class that the runtime gives."""

        ctx: Any
        env: Any

        def __init__(self, ctx: Any, env: Any) -> None: ...

    def to_js(value: object) -> Any:
        """A JavaScript value for a Python one."""

else:
    try:
        from pyodide.ffi import to_js
        from workers import DurableObject
    except ImportError:

        def to_js(value):
            """The value itself: there is no JavaScript here."""
            return value

        class DurableObject:
            """Stands in for the base class that the runtime gives, where there is none."""

            def __init__(self, ctx, env):
                raise RuntimeError(MISSING)


def object_storage(ctx: Any) -> ObjectStorage:
    """The storage without the SDK's wrapper, which costs several times the statement itself."""
    storage: ObjectStorage = getattr(ctx, "_ctx", ctx).storage
    return storage


def to_python(value: Any) -> Any:
    """A Python value for one that came over RPC, whether the SDK has already turned it into one or not."""
    return value.to_py() if hasattr(value, "to_py") else value


@final
class Exposed:
    """What the runtime is to hold of an object: the public methods of its class, and no other attribute of it.

    RPC calls whatever is callable by the name that it is given, `__setattr__` included.
    """

    def __init__(self, made: object, hidden: frozenset[str]) -> None:
        names = (name for name in dir(type(made)) if not name.startswith("_") and name not in hidden)
        methods = {name: getattr(made, name) for name in names if isfunction(getattr(type(made), name))}
        object.__setattr__(self, "_methods", methods)

    def __getattribute__(self, name: str) -> Any:
        methods = object.__getattribute__(self, "_methods")
        if name not in methods:
            raise AttributeError(f"there is no method {name!r} to be called from outside of the object")
        return methods[name]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name!r} cannot be set from outside of the object")
