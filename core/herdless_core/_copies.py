"""An exception for each caller.

A load's exception is told to many callers, and an exception is changed by being raised: it gets the traceback of those
who raise it, as `__context__` what they were handling, as `__notes__` what they add. So every caller raises a copy of
its own, with the loader's traceback, and the whole chain of causes and contexts is copied along.

A copy is made without running any code of the exception's class, which may do anything: not its `__init__`, `__new__`,
`__reduce__`, `__copy__`, `__setattr__`. An object of the same class is made by the built-in class below it, and is
given all of the state that Python knows of: `args`, the attributes, the slots, and the fields of the built-in class
(`OSError.errno`, `UnicodeDecodeError.start`). Where a class may have state beyond that - one written in C, whose
objects are larger than Python's fields explain - or a finalizer, which would run twice, there is no copy: the exception
itself is told to all callers, each time with the loader's traceback, and without a context.

State is not copied deeply, with one exception: what is an exception itself, in a field or in a list of them, has frames
and a context too. (`sqlalchemy.exc.DBAPIError.orig` stays the same object as its `__cause__`.)
"""

from __future__ import annotations

from collections.abc import Callable
from types import MemberDescriptorType, TracebackType
from typing import Any, Final, final

from herdless_core._frames import standing_in
from herdless_core._policy import Policy

# Looked up once, and not in the exception, whose class may have put something else in their place.
_FIELDS: Final = vars(BaseException)
_ARGS: Final[Any] = _FIELDS["args"]
_ATTRIBUTES: Final[Any] = _FIELDS["__dict__"]
_CAUSE: Final[Any] = _FIELDS["__cause__"]
_CONTEXT: Final[Any] = _FIELDS["__context__"]
_SUPPRESS: Final[Any] = _FIELDS["__suppress_context__"]
_TRACEBACK: Final[Any] = _FIELDS["__traceback__"]
_WRITTEN: Final[Any] = vars(OSError)["characters_written"]
_MESSAGE: Final[Any] = vars(BaseExceptionGroup)["message"]
_MEMBERS: Final[Any] = vars(BaseExceptionGroup)["exceptions"]
_NEW_GROUP: Final[Any] = BaseExceptionGroup.__new__

_IS_HEAP_TYPE: Final = 1 << 9
"""In `__flags__`: the class was made at run time, so its objects may have slots."""

_WORD: Final = tuple.__itemsize__
"""What one slot takes, in bytes."""


def copy_of(
    error: BaseException,
    *,
    outside: BaseException | None = None,
    frames: Callable[[TracebackType | None], TracebackType | None] = lambda traceback: traceback,
) -> BaseException:
    """A copy of the exception and of all that it refers to as cause, context or part; itself where there is none.

    outside: what was being handled when the load began, which Python shows as the context of the loader's exceptions
        although it is the caller's: it is left out.
    frames: makes the traceback of the copy from the one of the original.
    """
    try:
        return _Copying(outside, frames).copy(error)
    except Exception:  # noqa: BLE001  # no class may keep a load's end from being told
        return error


def kept_of(error: BaseException, policy: Policy, outside: BaseException | None = None) -> BaseException:
    """The cache's own copy of what a loader raised, for the loader may raise the same object again, and change it.

    Where the policy lets it be remembered, its traceback has no frames: see `_frames`. `outside` as for `copy_of`.
    """
    if policy.may_remember:
        return copy_of(error, outside=outside, frames=standing_in)
    return copy_of(error, outside=outside)


def give_back_context(error: BaseException, context: BaseException) -> None:
    """Put `context` back, the loader's, where raising `error`, a copy, has put what the caller was handling; and that
    behind it.
    """
    callers, last = error.__context__, context
    if callers is context:
        return
    _CONTEXT.__set__(error, context)
    seen = {id(error)}
    while last.__context__ is not None and id(last) not in seen:
        seen.add(id(last))
        last = last.__context__
    if base_of(type(last)) is not None and last.__context__ is None:  # a copy, and not what others have, too
        _CONTEXT.__set__(last, callers)


def base_of(kind: type[BaseException]) -> type[BaseException] | None:
    """The built-in class that makes objects of this class, where all of their state is known; None where it is not."""
    base: type = kind
    while base.__flags__ & _IS_HEAP_TYPE:
        base = base.__base__  # type: ignore[assignment]  # every class that was made at run time has one
    made = [cls for cls in kind.__mro__ if cls.__flags__ & _IS_HEAP_TYPE]
    if base.__module__ != "builtins" or any("__del__" in vars(cls) for cls in made):
        return None
    words = sum(len(_slots(cls)) for cls in made) + (kind.__weakrefoffset__ > 0)
    return base if kind.__basicsize__ == base.__basicsize__ + words * _WORD else None


def _slots(cls: type) -> list[Any]:
    return [field for field in vars(cls).values() if type(field) is MemberDescriptorType]


_WITHOUT_FIELDS: Final = (BaseException, BaseExceptionGroup, Exception, object)
"""The classes whose fields are copied by name, or that have none."""


@final
class _Plan:
    """How exceptions of one class are copied."""

    __slots__ = ("base", "fields", "kind")

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind: Final = kind
        self.base: Final = base_of(kind)
        self.fields: Final = [
            field
            for cls in kind.__mro__
            if all(cls is not other for other in _WITHOUT_FIELDS)
            for field in (*_slots(cls), *([_WRITTEN] if cls is OSError else []))
        ]


_PLANS: Final[dict[int, _Plan]] = {}
"""By the `id` of the class, which the plan keeps: a metaclass may have an `__eq__`."""

MOST_PLANS: Final = 200


def _plan_for(kind: type[BaseException]) -> _Plan:
    plan = _PLANS.get(id(kind))
    if plan is None:
        if len(_PLANS) >= MOST_PLANS:  # classes that are made on the fly do not add up
            _PLANS.clear()
        plan = _PLANS[id(kind)] = _Plan(kind)
    return plan


@final
class _Copying:
    """One copying: who stands for whom. An exception that is met twice is copied once."""

    def __init__(
        self, outside: BaseException | None, frames: Callable[[TracebackType | None], TracebackType | None]
    ) -> None:
        self._outside: Final = outside
        self._frames: Final = frames
        self._copies: Final[dict[int, BaseException]] = {}
        self._unfilled: Final[list[tuple[BaseException, BaseException]]] = []

    def copy(self, error: BaseException) -> BaseException:
        copy = self._copy(error)
        while self._unfilled:  # and not by recursion: a chain may be long, or closed
            original, unfilled = self._unfilled.pop()
            if unfilled is not original:
                self._fill(original, unfilled)
            self._link(original, unfilled)
        return copy

    def _copy(self, error: BaseException) -> BaseException:
        copy = self._copies.get(id(error))
        if copy is None:
            copy = self._copies[id(error)] = self._new(error)
            self._unfilled.append((error, copy))
        return copy

    def _new(self, error: BaseException) -> BaseException:
        """An empty copy, to be filled; the exception itself where its class cannot be copied."""
        kind = type(error)
        base = _plan_for(kind).base
        if base is None:
            return error
        copy: BaseException
        try:
            if base is BaseExceptionGroup:  # whose members cannot be set later
                members = [self._copy(member) for member in _MEMBERS.__get__(error)]
                copy = _NEW_GROUP(kind, _MESSAGE.__get__(error), members)
            else:
                copy = base.__new__(kind)
        except TypeError:  # the built-in class does not make such objects
            return error
        return copy if type(copy) is kind else error

    def _fill(self, original: BaseException, copy: BaseException) -> None:
        _ARGS.__set__(copy, tuple(map(self._part, _ARGS.__get__(original))))
        attributes = _ATTRIBUTES.__get__(copy)
        attributes.update({name: self._part(value) for name, value in _ATTRIBUTES.__get__(original).items()})
        if type(attributes.get("__notes__")) is list:
            attributes["__notes__"] = list(attributes["__notes__"])  # to which each caller adds its own
        for field in _plan_for(type(original)).fields:
            self._fill_field(field, original, copy)

    def _fill_field(self, field: Any, original: BaseException, copy: BaseException) -> None:
        try:
            value = field.__get__(original)
        except AttributeError:
            return  # it has no value
        if value is not None or field.__objclass__.__flags__ & _IS_HEAP_TYPE:  # an empty built-in field reads as None
            field.__set__(copy, self._part(value))

    def _link(self, original: BaseException, copy: BaseException) -> None:
        suppress = _SUPPRESS.__get__(original)
        cause, context = _CAUSE.__get__(original), _CONTEXT.__get__(original)
        if context is self._outside or copy is original:
            context = None
        _CAUSE.__set__(copy, None if cause is None else self._copy(cause))
        _CONTEXT.__set__(copy, None if context is None else self._copy(context))
        _SUPPRESS.__set__(copy, suppress)  # setting the cause has set it
        _TRACEBACK.__set__(copy, self._frames(_TRACEBACK.__get__(original)))

    def _part(self, value: Any) -> Any:
        """What the copy has in the place of a part of the original."""
        if issubclass(type(value), BaseException):
            return self._copy(value)
        if type(value) in {list, tuple} and any(issubclass(type(part), BaseException) for part in value):
            return type(value)(self._copy(part) if issubclass(type(part), BaseException) else part for part in value)
        return value
