"""The caches of an instance that has its own, for as long as it lives.

They are found by the instance's identity, so neither its hash nor its equality is asked for. They lie in its
`__dict__`, as what `functools.cached_property` keeps: so a value that refers to its instance makes a cycle that the
garbage collector sees, where a table beside the instances would keep both for ever. Instances without a `__dict__` have
such a table all the same, for want of another place.

Nothing in a cache refers to the instance but by a weak reference, by which a load that begins finds it; whoever waits
for a load has it at hand. So an instance goes with its last reference, its values with it, and what its caches had not
begun to load is not begun.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import Any, Final, final

from herdless._call import Arguments, Calls, taken_from
from herdless_core import CacheClosed

_PLACE: Final = "_herdless_caches"
"""The attribute of an instance."""


@final
class Kept(weakref.ref[Any]):
    """What is kept for one instance: a weak reference to it, and its cached functions."""

    __slots__ = ("functions", "number", "place")

    functions: dict[object, Any]
    """By the method that stands in the class: one that overrides another has a cache of its own."""
    number: int
    """The instance's `id`."""
    place: Place


@final
class Place(dict[int, Kept]):
    """What is kept, by the `id` of the instance: a copy that shares its original's attributes finds nothing of it.

    It is no part of what an instance is: a pickle and a deep copy have an empty one. Its name is in these pickles.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[object, ...]:
        return Place, ()


_ELSEWHERE: Final = Place()
"""For instances that have no `__dict__`."""


def kept_of(instance: Any) -> Kept | None:
    """What is kept for the instance, if anything."""
    try:
        place = object.__getattribute__(instance, _PLACE)
    except AttributeError:
        place = _ELSEWHERE
    kept: Kept | None = place.get(id(instance))
    return kept if kept is not None and kept() is instance else None


def keep(instance: Any, name: str) -> Kept:
    """The same, made where it is not there: two threads that do so at once get the same.

    name: of the method, for the TypeError where there can be no weak reference to the instance.
    """
    try:
        made = Kept(instance, _instance_gone)
    except TypeError:
        raise TypeError(
            f"{name} has per_instance=True, which needs weak references to its instances, and {type(instance)!r} has "
            'none: add "__weakref__" to its __slots__ (weakref_slot=True for a dataclass; a class derived from tuple '
            "or int cannot have any)"
        ) from None
    attributes = _attributes_of(instance)
    made.functions = {}
    made.number = id(instance)
    made.place = _ELSEWHERE if attributes is None else attributes.setdefault(_PLACE, Place())
    while True:
        kept = made.place.setdefault(made.number, made)
        if kept() is instance:
            return kept
        _take_out(kept)  # of an instance that a finalizer brought back to life


def _attributes_of(instance: Any) -> dict[str, Any] | None:
    try:
        attributes = object.__getattribute__(instance, "__dict__")
    except AttributeError:
        return None
    return attributes if type(attributes) is dict else None  # a class has something else


def _take_out(kept: Kept) -> None:
    if kept.place.get(kept.number) is kept:
        kept.place.pop(kept.number, None)


def _instance_gone(kept: Kept) -> None:
    """The end of the instance. Nobody waits for its loads, and what has not begun would find nothing to load with.

    A bounded cache has cycles, and so has a compiled one: what it holds would wait for the garbage collector.
    """
    _take_out(kept)
    for function in kept.functions.values():
        with contextlib.suppress(Exception):  # this may come in anywhere, also where there is no room on the stack
            function.cache._refuse_more(cancel=False)


@final
class InstanceCalls:
    """The calls of one method on one instance, of which the keys say nothing: as `Calls`, but for that."""

    count: Final = -1
    """No call is cached by just the arguments that it has by position: the first of them is the instance."""
    is_unplaced: Final = False

    def __init__(self, calls: Calls, instance: Any) -> None:
        self.function = calls.function
        self.name: Final = calls.name
        self.is_async: Final = calls.is_async
        self._calls: Final = calls
        self._instance: Final = weakref.ref(instance)

    def described(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Arguments | None]:
        """As `Calls.described`. The instance is the first of the arguments, and in none of what is returned."""
        calls = self._calls
        if len(args) == calls.count and not kwargs:
            return args[1:], None
        key, arguments = calls.described(args, kwargs)
        return key if calls.key is not None else key[1:], arguments and (arguments[0][1:], arguments[1])

    def place(self, args: tuple[Any, ...]) -> None:
        """It is known what it is."""

    def run(self, key: Any) -> Any:
        """Call the function on the instance, as the key says."""
        instance = self._instance()
        if instance is None:
            raise CacheClosed(f"the instance is gone of whose {self.name}() this is the cache")
        args, kwargs = taken_from(key)
        return self.function(instance, *args, **kwargs)

    def __repr__(self) -> str:
        return repr(self.function)
