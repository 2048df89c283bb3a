"""Whether a keyspace lets callers in, and whether it keeps anything: closed, open, or passed by.

A keyspace that is passed by keeps no value, and no lookup joins another's load: each starts one of its own. It is for
tests of programs that have a cache, and made of the steps that there are: a lookup is followed by an Invalidate, after
which its flight still answers its own caller, and nobody else finds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from herdless_core._effects import Effects, Join, Reply
from herdless_core._errors import ReentrantLoad
from herdless_core._events import Invalidate
from herdless_core._held import Held
from herdless_core._machine import NOTHING
from herdless_core._reentrancy import begin_wait, end_wait
from herdless_core._running import RunningLoad
from herdless_core._states import Entry

K = TypeVar("K")


class Doors(Held[K]):
    """The part of a keyspace that decides who comes in."""

    __slots__ = ("_has_loader", "_has_no_short_cut", "_is_passed_by")

    def _set_doors(self, *, has_loader: bool) -> None:
        self._has_loader = has_loader
        self._is_passed_by = False
        self._has_no_short_cut = not has_loader
        """Whether `enter` may not answer, which looks at nothing else."""

    def open(self) -> None:
        """Requests are accepted again."""
        self._closed = False
        self._has_no_short_cut = self._is_passed_by or not self._has_loader

    def pass_by(self, is_passed_by: bool) -> None:
        """Keep nothing from now on, or keep again what is loaded from now on. Call `clear` beside it."""
        self._is_passed_by = is_passed_by
        self._has_no_short_cut = is_passed_by or self._closed or not self._has_loader

    def restore_all(
        self, entries: Iterable[tuple[K, Entry, tuple[str, ...]]], now: int, weights: Sequence[int] = ()
    ) -> list[K]:
        """As `Held.restore_all`, but that nothing comes back where nothing is kept."""
        return [] if self._is_passed_by else Held.restore_all(self, entries, now, weights)

    def _close_doors(self) -> None:
        self._closed = self._has_no_short_cut = True

    def _check_passing(self, key: K, loading: RunningLoad | None) -> None:
        """A lookup that is to pass by, inside the load `loading`: ReentrantLoad where that would go on without end.

        Nobody would find the load of the same key, for which it would otherwise wait in vain.
        """
        if loading is None:
            return
        for running in list(self.flights.values()):
            if running.key == key:
                if not begin_wait(loading, running):
                    raise ReentrantLoad(f"the loader of {self._shown(key)} asks for it again, by way of other loads")
                end_wait(loading, running)

    def _pass(self, key: K, reply: Reply, now: int) -> Effects:
        """After a lookup: its flight is for its own caller alone, and nothing of it is kept."""
        return self._step(key, self._store.entry(key), Invalidate(), now) if isinstance(reply, Join) else NOTHING
