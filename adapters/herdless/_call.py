"""What one call is cached by, and how the function is called from that; and which functions are refused.

A plain call, all its arguments given by position, is cached by the tuple of these.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from functools import partial
from inspect import CO_ITERABLE_COROUTINE
from typing import Any, Final, TypeAlias, final

from herdless_core import shown

Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]

_CHEAP: Final = frozenset({int, str, bytes, bool, float, type(None)})
"""Types whose objects are hashed in less time than it takes to remember a hash."""


@final
class _Keywords:
    """Stands in a key between the arguments by position and those by keyword."""

    def __repr__(self) -> str:
        return "*"

    def __reduce__(self) -> str:
        """By its name, so that the key equals itself in another process."""
        return "_KEYWORDS"


_KEYWORDS: Final = _Keywords()


def is_mark(part: object) -> bool:
    """Whether this part of a key is no argument, but stands before those by keyword."""
    return part is _KEYWORDS


@final
class _Default:
    """Stands in a key for a default that cannot be hashed."""

    def __init__(self, value: object) -> None:
        self._value: Final = value

    def __repr__(self) -> str:
        return repr(self._value)


@final
class Call(tuple[Any, ...]):
    """A key that knows its hash, and the arguments of its call where they do not follow from it.

    It equals the plain tuple, by which hits are looked up, and leaves the comparison to C.
    """

    hash: int
    arguments: Arguments | tuple[()] | None
    """None: the key says them. Let go once the function has them, since a refresh is done with those of the call that
    asks for it; then, and in a key that is no call's but a value's, there are none.
    """
    is_lasting = False
    """Whether they are not let go: the key is a caller's own, who may use it many times."""

    def __hash__(self) -> int:
        return self.hash

    def __reduce__(self) -> tuple[object, ...]:
        """As the tuple it equals: in another process, texts have other hashes."""
        return tuple, (tuple(self),)


def carried(key: tuple[Any, ...], arguments: Arguments | tuple[()] | None) -> tuple[Any, ...]:
    """The key as it goes through the cache, which hashes it several times. Unchanged where it cannot be hashed."""
    if arguments is None and _CHEAP.issuperset(map(type, key)):
        return key
    try:
        hashed = hash(key)
    except TypeError:
        return key  # the cache says what is wrong
    call = Call(key)
    call.hash = hashed
    call.arguments = arguments
    return call


def lasting(key: tuple[Any, ...], arguments: Arguments | None) -> tuple[Any, ...]:
    """The same for a caller who keeps the key: a load by it leaves it its arguments, so that it can be used again."""
    call = carried(key, arguments)
    if isinstance(call, Call):
        call.is_lasting = True
    return call


def taken_from(key: Any) -> Arguments:
    """The arguments that a key says or carries, of which it lets go."""
    if type(key) is not Call or key.arguments is None:
        return key, {}
    if not key.arguments:
        raise RuntimeError(f"the call {shown(key)} is run for the second time, without its arguments")
    arguments = key.arguments
    if not key.is_lasting:
        key.arguments = ()
    return arguments


def copied(key: Any) -> Any:
    """The key for a load in the background, which keeps its arguments whatever becomes of those of this one."""
    if type(key) is not Call or not key.arguments:
        return key
    copy = Call(key)
    copy.hash, copy.arguments = key.hash, key.arguments
    return copy


def let_go(key: Any) -> None:
    """The key's arguments are not needed any more, since it was answered without a load."""
    if type(key) is Call and key.arguments and not key.is_lasting:
        key.arguments = ()


@final
class Calls:
    """Turns the arguments of a call into a key, and a key into the call."""

    def __init__(self, function: Callable[..., Any], key: Callable[..., object] | None, *, is_async: bool) -> None:
        self.function = function
        """What is called; a tracer may put something around it."""
        self.name: Final = _name(function)
        self.is_async: Final = is_async
        self.key: Final = key
        try:
            signature: inspect.Signature | None = inspect.signature(function)
        except ValueError:  # of some builtins nobody knows it
            signature = None
        self._signature: Final = None if signature is None else _hashable_defaults(signature)
        parameters = () if self._signature is None else tuple(self._signature.parameters.values())
        self._defaults: Final = tuple(p.default for p in parameters if p.default is not p.empty)
        self._has_stand_ins: Final = any(isinstance(default, _Default) for default in self._defaults)
        is_plain = key is None and self._signature is not None
        is_plain &= all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        self.count: Final = len(parameters) if is_plain else -1
        """A call with so many arguments by position is cached by just these; -1: none is."""

        # In the body of a class; `str.upper` lies there as well, and is none the worse for it.
        outside, _, _ = str(getattr(function, "__qualname__", "")).rpartition(".")
        self.body: Final = "" if outside.endswith("<locals>") else outside
        """The qualified name of the class in whose body it lies; empty: in none."""
        self.is_unplaced = self.body != ""
        """Whether it is not known what it is for its class: a static method, a class method, or something else."""
        self.owner: type | None = None
        """The class in whose body it lies below `@classmethod`, once that is known."""
        self.method: object = None

    def described(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Arguments | None]:
        """The key of a call, and its arguments where the key does not say them.

        Raises TypeError where the arguments do not fit the signature.
        """
        if self.key is not None:
            return (self.key(*args, **kwargs),), (args, kwargs)
        missing = self.count - len(args)
        if not kwargs and 0 <= missing <= len(self._defaults) and not self._has_stand_ins:
            return args + self._defaults[len(self._defaults) - missing :] if missing else args, None
        if self._signature is None:
            return _flat(args, kwargs), (args, kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        is_said = not bound.kwargs and not self._has_stand_ins
        return _flat(bound.args, bound.kwargs), None if is_said else (args, kwargs)

    def __repr__(self) -> str:
        return repr(self.function)

    def run(self, key: Any) -> Any:
        """Call the function as the key says."""
        args, kwargs = taken_from(key)
        return self.function(*args, **kwargs)

    def place(self, args: tuple[Any, ...]) -> None:
        """Learn from a call whether it is `@classmethod` that puts the class there."""
        for cls in inspect.getmro(args[0]) if args and isinstance(args[0], type) else ():
            member = vars(cls).get(self.name)
            if isinstance(member, classmethod) and member.__func__ is self.method:
                self.owner, self.is_unplaced = cls, False


def _flat(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    return (*args, _KEYWORDS, *(part for item in sorted(kwargs.items()) for part in item)) if kwargs else args


def _hashable_defaults(signature: inspect.Signature) -> inspect.Signature:
    """The signature, with a stand-in for each default that cannot be part of a key."""
    parameters = signature.parameters.values()
    return signature.replace(parameters=[p.replace(default=_stand_in(p.default)) for p in parameters])


def _stand_in(default: Any) -> Any:
    try:
        hash(default)
    except Exception:  # noqa: BLE001  # whatever it is that a class raises
        return _Default(default)
    return default


def _name(function: Any) -> str:
    function = _inside_partials(function)
    return str(getattr(function, "__name__", type(function).__name__))


def _inside_partials(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


# What is refused


def check_function(function: object) -> None:
    """Raise TypeError for what is no function, or makes another thing of a function."""
    if isinstance(function, classmethod | staticmethod):
        raise TypeError(f"cached is applied to {function!r}: @classmethod and @staticmethod stand above @cached")
    if not callable(function):
        raise TypeError(f"cached is applied to {function!r}, which is no function")


def check_method(calls: Calls) -> None:
    """Raise TypeError for a function that is not written in the body of a class, where each instance is to have a cache
    of its own.
    """
    if not calls.body:
        raise TypeError(
            f"per_instance=True is for methods, and {calls.function!r} is not written in the body of a class: leave it "
            "out, or decorate the method there"
        )


def check_sync(function: Any) -> None:
    """Raise TypeError for a function whose result is still to be awaited or iterated over, so that callers cannot share
    it.
    """
    runs = _what_runs(function)
    _check_no_generator(function, runs)
    if _is_async(runs):
        raise TypeError(
            f"cached is applied to {function!r}, which is async: use `cached` of herdless.asyncio or herdless.trio"
        )


def check_async(function: Any) -> None:
    """Raise TypeError for what is seen to be no async function."""
    runs = _what_runs(function)
    if _is_async(runs) or _is_async(inspect.unwrap(runs)):
        return
    _check_no_generator(function, runs)
    if inspect.isfunction(runs) or inspect.ismethod(runs):  # what C does is seen when it is called
        raise TypeError(
            f"cached is applied to {function!r}, which is not async: write `async def`, "
            "or use `cached` of herdless.threads"
        )


def _check_no_generator(function: object, runs: Any) -> None:
    if inspect.isgeneratorfunction(runs) or inspect.isasyncgenfunction(runs):
        raise TypeError(
            f"cached is applied to {function!r}, which makes generators, and what one caller has read no other can: "
            "return a list or a tuple"
        )


def _what_runs(function: Any) -> Any:
    """The Python function that a call comes to, where it can be found."""
    function = _inside_partials(function)
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    call = getattr(function, "__call__", None)  # noqa: B004  # what is looked for is the method
    return function if call is None or _is_async(function) else _inside_partials(call)


def _is_async(function: Any) -> bool:
    asks = inspect.iscoroutinefunction if sys.version_info >= (3, 12) else asyncio.iscoroutinefunction
    code = getattr(function, "__code__", None)  # of a generator made a coroutine by `types.coroutine`
    return asks(function) or bool(code is not None and code.co_flags & CO_ITERABLE_COROUTINE)
