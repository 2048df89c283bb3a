"""Processes of a fleet broken on purpose: `herdless soak --fleet` has to find each. Called in a process of its own."""

from __future__ import annotations

from typing import Any

from herdless._shared.base import Shared
from herdless._shared.trust import Trust
from herdless_core import NEVER, Flight, Value
from herdless_core._fleet import session
from herdless_core._fleet.record import Record


def no_fence() -> None:
    """A late holder writes over whatever is there."""
    lead = session.lead

    def lead_and_write(
        terms: session.Terms, record: Record, flight: Flight, *, is_covered: bool = True
    ) -> session.Session:
        got = yield from lead(terms, record, flight, is_covered=is_covered)
        if got.fenced and isinstance(got.outcome, Value):
            yield from session.put(terms, got.outcome.value, 0.0)
        return got

    session.lead = lead_and_write


def no_trust() -> None:
    """What is held is trusted though nothing is heard."""

    def heard(self: Trust, _sent: int) -> None:
        self.is_blind, self.until = False, NEVER

    def nothing(*_: Any) -> None:
        pass

    patched: Any = Trust
    patched.heard, patched.look, patched.lost = heard, nothing, nothing


def no_drop() -> None:
    """What is told of a change is left alone."""
    patched: Any = Shared
    patched._told = lambda *_: None
