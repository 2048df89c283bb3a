"""Classes whose instances have caches of their own, for the tests of `per_instance=True`."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from herdless.threads import cached
from tests.runtimes.decorated import Log
from tests.runtimes.decorating import Runtime


@contextmanager
def no_collector(*, first: bool = True) -> Iterator[None]:
    """What needs the garbage collector stays alive. first: whether it is called before."""
    if first:
        gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Value:
    """What can be referred to weakly."""


class Client:
    """Compared by value, so not hashable; and its comparison must not be asked for."""

    def __init__(self, name: str = "client") -> None:
        self.name = name
        self.calls = 0

    def __eq__(self, other: object) -> bool:
        raise AssertionError("an instance is found by its identity")

    __hash__ = None  # type: ignore[assignment]  # as of each class with an `__eq__`

    @cached(per_instance=True, maxsize=100)
    def fetch(self, article: str, /, size: int = 1, *, fails: bool = False) -> Value:
        """Count and make."""
        self.calls += 1
        if fails:
            raise LookupError(article)
        return Value()

    @cached(per_instance=True)
    def other(self, article: str) -> Value:
        """Make another."""
        return Value()

    @property
    @cached(per_instance=True)
    def size(self) -> Value:
        """Make it once."""
        return Value()


class Slotted:
    """No `__dict__`, and room for weak references."""

    __slots__ = ("__weakref__", "calls")

    def __init__(self) -> None:
        self.calls = 0

    fetch = Client.fetch


def client_in(runtime: Runtime, log: Log, **options: Any) -> Any:
    """A class with two cached methods."""

    class Local:
        def fetch(self, article: str, size: int = 1) -> Value:
            log.note(article, size)
            return Value()

        fetch = runtime.decorate(fetch, per_instance=True, **options)

        def fail(self, article: str) -> None:
            raise LookupError(article)

        fail = runtime.decorate(fail, per_instance=True, **options)

    return Local
