"""Decorated functions in the body of a class, and what is found of them on the class and on an instance.

A function's attributes do not know the instance on which it was found. So in the body of a class there is a `Method`
around it, and on an instance a `_BoundMethod`, whose words need no `self`. Where each instance has a cache of its own
there is an `InstanceMethod` in the class, and the `_BoundMethod` is of the function of that instance.

All are a `partial`, since these are called by C. What is read and written of them is the function's own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import MethodType
from typing import Any, Self, final

from herdless._call import Arguments, Calls
from herdless._decorated import CacheInfo
from herdless._instances import keep, kept_of
from herdless._words import WORDS, Described, Word, say
from herdless_core import Stats


def info_of(cache: Any) -> CacheInfo:
    """What `cache_info()` says."""
    stats: Stats = cache.stats()
    return CacheInfo(stats.hits + stats.stale_hits, stats.misses, stats.maxsize, stats.size)


def clear(cache: Any) -> None:
    """What `cache_clear()` does."""
    cache.clear()
    cache._count_anew()


class _InClass(partial[Any]):
    """A cached function in the body of a class, until it is found on the class or on an instance."""

    def __new__(cls, function: Callable[..., Any], calls: Calls) -> Self:
        method = super().__new__(cls, function)
        partial.__setattr__(method, "_calls", calls)
        calls.method = method
        return method

    def __set_name__(self, owner: type, name: str) -> None:
        self._calls.is_unplaced = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.func, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.func, name, value)

    def __repr__(self) -> str:
        return f"<cached {self.func.__qualname__} at {id(self):#x}>"

    def __reduce__(self) -> Any:
        return self.func.__qualname__  # what `pickle` and `copy` take for "found under this name"


@final
class Method(_InClass):
    """One whose instances share a cache. Whoever reads its words has found a static method, or one of the class: since
    Python 3.13 `classmethod` binds by itself, so that nothing here is told the class.
    """

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.func if instance is None else _BoundMethod(self.func, instance)

    def _say(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function, calls, word = self.func, self._calls, WORDS[name]
        cache = function.cache  # type: ignore[attr-defined]  # see `_finished`
        if calls.is_unplaced:
            if word.is_for_many and not (len(cache) or cache.stats().in_flight):
                return None  # of whatever it is, nothing is held
            _look_up_the_class(calls)
        if calls.owner is None:
            return say(name, function, calls.described, args, kwargs)
        family = dict.fromkeys(_family(calls.owner))
        if len(family) > 1 and not word.is_for_many:
            raise TypeError(
                f"{function.__qualname__}.{name} is not told of which class, since Python 3.13, and {len(family)} have "
                f"this class method: write {function.__qualname__}.func.{name}(cls, ...)"
            )
        answers = [say(name, function, _before(owner, calls), args, kwargs) for owner in family]
        return answers[0]


@final
class InstanceMethod(_InClass):
    """One whose instances have a cache each."""

    def __new__(cls, function: Callable[..., Any], calls: Calls, make: Callable[[Any], Any]) -> Self:
        """function: what is called where the instance is an argument; make: from an instance to its function."""
        method = super().__new__(cls, function, calls)
        partial.__setattr__(method, "_make", make)
        return method

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else _BoundMethod(self.of(instance), instance)

    def __getattr__(self, name: str) -> Any:
        if name in {"cache", "cache_info", "cache_clear"}:
            called = self.func.__name__
            raise AttributeError(
                f"{self.func.__qualname__} has per_instance=True, so that each instance has a cache of its own: write "
                f"instance.{called}.{name}, not {self.func.__qualname__}.{name}"
            )
        return getattr(self.func, name)

    def of(self, instance: Any) -> Any:
        """The instance's own function, made at the first call. Raises TypeError for what is no instance for it."""
        kept = kept_of(instance)
        function = None if kept is None else kept.functions.get(self)
        if function is None:
            self._require_instance(instance)
            kept = keep(instance, self.func.__qualname__)
            function = kept.functions.setdefault(self, self._make(instance))
        return function

    def of_call(self, args: tuple[Any, ...]) -> Any:
        """The same, of the arguments of a call that has the instance among them."""
        if not args:
            raise TypeError(f"{self.func.__qualname__}() is called without its instance")
        return self.of(args[0])

    def _require_instance(self, instance: Any) -> None:
        """Where it is not known to be a method, it may be called by `property` or another decorator above it."""
        function, calls = self.func, self._calls
        classes = type(instance).__mro__ if calls.is_unplaced else ()
        if calls.is_unplaced and (function.__module__, calls.body) not in (
            (each.__module__, each.__qualname__) for each in classes
        ):
            raise TypeError(
                f"{function.__qualname__} has per_instance=True, which is for methods of an instance, and is called "
                f"with {type(instance)!r} as its first argument: below @staticmethod and @classmethod leave it out"
            )

    def _say(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leading = WORDS[name].leading
        if len(args) <= leading:
            raise TypeError(f"{self.func.__qualname__}.{name}() takes the instance as the function does")
        function = self.of(args[leading])
        return say(name, function, function._calls.described, args, kwargs)


@final
class _BoundMethod(partial[Any]):
    """A cached method of one instance. All but the words is as of a bound method of Python's own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.func, name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name!r} of {self!r} is not set: set it on the class's function")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BoundMethod) and self.func is other.func and self.args[0] is other.args[0]

    def __hash__(self) -> int:
        return hash((self.func, id(self.args[0])))

    def __repr__(self) -> str:
        return f"<bound method {self.func.__qualname__} of {self.args[0]!r}>"

    def __reduce__(self) -> Any:
        return getattr, (self.args[0], self.func.__name__)

    @property
    def __self__(self) -> Any:
        return self.args[0]

    @property
    def __func__(self) -> Callable[..., Any]:
        return self.func

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return MethodType(self.func.__wrapped__, self.args[0])  # type: ignore[attr-defined]  # by `update_wrapper`

    def cache_info(self) -> CacheInfo:
        """Hits, misses, maxsize and current size, as `functools.lru_cache` names them."""
        return info_of(self.cache)

    def cache_clear(self) -> None:
        """Invalidate the results for all arguments, and count from 0 again."""
        clear(self.cache)

    def _say(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return say(name, self.func, self._described, args, kwargs)

    def _described(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Arguments | None]:
        return self.func._calls.described((self.args[0], *args), kwargs)  # type: ignore[attr-defined, no-any-return]


def _before(owner: type, calls: Calls) -> Described:
    """What describes calls of a class method that are given without the class."""
    return lambda args, kwargs: calls.described((owner, *args), kwargs)


def _look_up_the_class(calls: Calls) -> None:
    """Find out whether `@classmethod` is above a function of which no call has told that, where the class can be found
    by its name. Raises TypeError where it cannot, and it looks so.
    """
    found: Any = sys.modules.get(calls.function.__module__)
    for part in calls.body.split("."):
        found = getattr(found, part, None)
    member = vars(found).get(calls.name) if isinstance(found, type) else None
    if isinstance(member, classmethod | staticmethod) and member.__func__ is calls.method:
        calls.is_unplaced = False
        calls.owner = found if isinstance(member, classmethod) else None
    elif next(iter(inspect.signature(calls.function).parameters), None) == "cls":
        raise TypeError(f"it is not known of which class {calls.function.__qualname__} is: call it once before")


def _family(owner: type) -> Iterator[type]:
    """The class and all that are derived from it now."""
    yield owner
    children: list[type] = type.__subclasses__(owner)
    for derived in children:
        yield from _family(derived)  # one with two bases comes twice


def _saying(name: str, word: Word) -> Any:
    def said(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self._say(name, args, kwargs)

    said.__name__, said.__doc__ = name, word.about
    return said


def _of_the_function(name: str) -> Any:
    return property(lambda self: getattr(self.func, name))


for _class in (Method, InstanceMethod, _BoundMethod):
    for _name, _word in WORDS.items():
        setattr(_class, _name, _saying(_name, _word))
    for _name in ("__doc__", "__module__"):  # every class has these itself, so `__getattr__` is not asked for them
        setattr(_class, _name, _of_the_function(_name))
