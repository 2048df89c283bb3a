"""What the tests of the decorator decorate: a function that notes its calls, and a class with cached methods."""

from __future__ import annotations

from typing import Any

from herdless.threads import cached


class Log:
    """A function that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def note(self, *call: Any) -> Any:
        """Note the call and return it."""
        self.calls.append(call)
        return call


class Shop:
    """A class with cached methods of all kinds."""

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self.calls = 0

    @cached()
    def price(self, article: int, tax: int = 0) -> int:
        """Count and compute."""
        self.calls += 1
        return article * self.factor + tax

    @staticmethod
    @cached()
    def double(article: int) -> int:
        """Compute."""
        return 2 * article

    @classmethod
    @cached()
    def name(cls, article: int) -> str:
        """Say of which class it is."""
        return f"{cls.__name__} {article}"
