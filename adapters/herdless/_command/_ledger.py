"""What really happened: the loads as the origin saw them, and the steps as the cache took them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic_ns
from types import CoroutineType
from typing import Any, final

from herdless._cache import LOADING
from herdless._command._errors import LoaderFailed, in_a_line
from herdless._command._origin import Source
from herdless._command._plan import Key
from herdless_core import Step, shown


@final
@dataclass(frozen=True, slots=True)
class Load:
    """One load, written down where it ran. Instants in nanoseconds of `monotonic_ns`, as in the caches' steps."""

    key: Key
    generation: int | None
    """Of the flight inside which it ran; None: inside none."""
    began: int
    ended: int


@final
@dataclass(slots=True)
class Ledger:
    """Written to from any thread: a list's `append` is atomic."""

    loads: list[Load] = field(default_factory=list)
    steps: list[tuple[Key, Step]] = field(default_factory=list)

    def observe(self, key: Key, step: Step) -> None:
        """What a cache is given as `observe=`."""
        self.steps.append((key, step))

    def recording(self, source: Source) -> Callable[[Key], Any]:
        """The source's loader, sync or async as it is, with every call written down."""

        def load(key: Key) -> object:
            with self._written_down(source, key):
                return _at_hand(source, source.load(key))

        async def load_async(key: Key) -> object:
            with self._written_down(source, key):
                return await source.load(key)

        return load_async if source.is_async else load

    @contextmanager
    def _written_down(self, source: Source, key: Key) -> Iterator[None]:
        running = LOADING.get()
        began = monotonic_ns()
        try:
            yield
        except LoaderFailed:
            raise
        except (Exception, SystemExit) as error:
            raise LoaderFailed(f"{source.name} failed for the key {shown(key)}: {in_a_line(error)}") from error
        finally:
            generation = None if running is None else running.generation
            self.loads.append(Load(key, generation, began, monotonic_ns()))


def _at_hand(source: Source, value: object) -> object:
    """What a sync loader returned; LoaderFailed where that is still to be awaited."""
    if isinstance(value, CoroutineType):
        value.close()
        raise LoaderFailed(f"{source.name} is no async function, but returned a coroutine: name the async function")
    return value
