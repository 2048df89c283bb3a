"""Who waits for which flight, told from the steps of a trace."""

from __future__ import annotations

from typing import Final, TypeAlias, final

from herdless._trace.reader import Recorded, Section
from herdless_core import CancelLoad, Join, Restarted, Settle, SoftTimeoutPassed, WaiterLeft

FlightId: TypeAlias = tuple[Section, int]


@final
class Waiting:
    """The waiters of every flight by their names, in the order in which they joined."""

    def __init__(self) -> None:
        self._names: Final[dict[FlightId, list[str]]] = {}

    def of(self, line: Recorded, generation: int) -> list[str]:
        """Who waits for the flight; nobody, where the trace began after they joined."""
        return self._names.get((line.section, generation), [])

    def follow(self, line: Recorded) -> None:
        """Take note of a step, AFTER it was drawn."""
        event = line.step.event
        if isinstance(event, WaiterLeft) or (isinstance(event, SoftTimeoutPassed) and line.step.effects):
            names = self.of(line, event.generation)
            if names:
                names.remove(line.by if line.by in names else names[0])
        if isinstance(event, Restarted) and line.step.before.flight is not None:
            self._names.pop((line.section, line.step.before.flight.generation), None)
        for effect in line.step.effects:
            if isinstance(effect, Join):
                self._names.setdefault((line.section, effect.generation), []).append(line.by)
            elif isinstance(effect, Settle | CancelLoad):
                self._names.pop((line.section, effect.generation), None)
