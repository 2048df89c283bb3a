"""The words of a cache that a decorated function has too, with the function's own arguments in the place of the key.

One table makes all of them: those of a function, of a method on its instance, and of a class or static method. Another
word of the cache that takes one key is one line in it, and a method in the types (`_decorated`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from herdless._call import Arguments, carried, lasting

Described: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], Arguments | None]]
"""From the arguments of a call to its key, and to the arguments where the key does not say them."""


class Said(Protocol):
    """How a word is carried out."""

    def __call__(self, cache: Any, described: Described, /, *args: Any, **kwargs: Any) -> Any:
        """cache: of which it is said; described: what makes a key of the arguments; the rest: what the caller gave."""


class Word(NamedTuple):
    """One of the words."""

    plain: Said
    """How it is said of a plain function, for threads."""
    awaited: Said
    """How it is said of an async one."""
    about: str
    """The docstring of what hangs on the function."""
    leading: int = 0
    """How many arguments of its own come before those of the function."""
    is_for_many: bool = False
    """Whether it may be said of a class and of all that are derived from it at once, and is then no question."""


def _at_once(name: str, about: str, *, is_for_many: bool = False) -> Word:
    """A method of the cache that takes a key, and awaits nothing in any runtime."""

    def said(cache: Any, described: Described, /, *args: Any, **kwargs: Any) -> Any:
        return getattr(cache, name)(carried(*described(args, kwargs)))

    return Word(said, said, about, is_for_many=is_for_many)


def _waiting(name: str, about: str) -> Word:
    """A method of the cache that takes a key, and is awaited where the runtime has it."""

    async def awaited(cache: Any, described: Described, /, *args: Any, **kwargs: Any) -> Any:
        # In this frame is `described`, and so the instance of a method: it lives as long as somebody waits for it.
        return await getattr(cache, name)(carried(*described(args, kwargs)))

    return _at_once(name, about)._replace(awaited=awaited)


def _key(_cache: Any, described: Described, /, *args: Any, **kwargs: Any) -> Any:
    return lasting(*described(args, kwargs))


def _put(cache: Any, described: Described, /, *args: Any, **kwargs: Any) -> Any:
    if not args:
        raise TypeError("put() takes the value first, and then the arguments of the function: there is no value")
    key, arguments = described(args[1:], kwargs)
    # No load is done by it, so that the arguments would be kept for nothing.
    return cache.put(carried(key, None if arguments is None else ()), args[0])  # to be awaited of a shared cache


def _keys(described: Described, args: tuple[Any, ...]) -> list[Any]:
    """The keys of many calls. args: the calls, and, of a method, the instance."""
    if not args or isinstance(args[0], str | bytes) or not isinstance(args[0], Iterable):
        raise TypeError("get_many() takes a collection of calls: a tuple of the function's arguments for each")
    calls, *instance = args
    return [carried(*described((*instance, *_arguments(call)), {})) for call in calls]


def _arguments(call: object) -> tuple[Any, ...]:
    if not isinstance(call, tuple):
        raise TypeError(f"get_many() takes a tuple of arguments for each call, as (1,): it was given {call!r}")
    return call


def _get_many(cache: Any, described: Described, /, *args: Any, **kwargs: Any) -> list[Any]:
    keys = _keys(described, args)
    found = cache.get_many(keys, **kwargs)
    return [found[key] for key in keys]


async def _get_many_awaited(cache: Any, described: Described, /, *args: Any, **kwargs: Any) -> list[Any]:
    keys = _keys(described, args)
    found = await cache.get_many(keys, **kwargs)
    return [found[key] for key in keys]


WORDS: Final[dict[str, Word]] = {
    "lookup": _waiting("lookup", "Like the call, and says how the result was got, and its age."),
    "peek": _at_once("peek", "The result that a call would be given at once, a stale one included, or None."),
    "put": Word(_put, _put, "Store a value, which comes first, as the result for these arguments.", leading=1),
    "invalidate": _at_once("invalidate", "Invalidate the result for these arguments.", is_for_many=True),
    "expire": _at_once("expire", "Make the result for these arguments stale.", is_for_many=True),
    "refresh": _at_once("refresh", "Start loading the result for these arguments; False where a load is in flight."),
    "reload": _waiting("reload", "The result of a load for these arguments that begins after this call."),
    "get_many": Word(
        _get_many, _get_many_awaited, "The results of many calls, each a tuple of arguments, in a list.", leading=1
    ),
    "key": Word(_key, _key, "What to ask `cache` by for these arguments. With `key=` it keeps them."),
}


def say(name: str, function: Any, described: Described, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Say the word of the cache of a function.

    name: the word; function: what `cached` made, with its `cache` and `_calls`; described: what turns the arguments
    into a key; args, kwargs: what the caller gave.
    """
    return _said(WORDS[name], function._calls.is_async)(function.cache, described, *args, **kwargs)


def hang_words(function: Any) -> None:
    """Give the function, which has its `cache` and `_calls`, the words as its attributes."""
    for name, word in WORDS.items():
        hung = _hung(_said(word, function._calls.is_async), function.cache, function._calls.described)
        hung.__name__, hung.__qualname__, hung.__doc__ = name, f"{function.__qualname__}.{name}", word.about
        setattr(function, name, hung)


def _hung(said: Said, cache: Any, described: Described) -> Callable[..., Any]:
    # Not of the function itself, which would then wait for the garbage collector.
    return lambda *args, **kwargs: said(cache, described, *args, **kwargs)


def _said(word: Word, is_async: bool) -> Said:
    return word.awaited if is_async else word.plain
