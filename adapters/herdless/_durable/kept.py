"""What of an entry is kept, by a storage that may refuse at any statement: its disk is full, a value is too large.

Nothing in here raises. `refusal` says what the last step was to write and could not; the step itself is taken all the
same, in memory:

- a generation that cannot be claimed starts no load, and is nothing to save a value for;
- a value that cannot be saved is served by this instance, and what was stored before it is deleted;
- what cannot even be deleted is deleted at the next step; till then a restart would bring it back;
- where it cannot be read whether this instance was replaced, nothing is claimed or saved.
"""

from __future__ import annotations

from typing import Final, final

from herdless._durable.foreign import warn
from herdless._durable.storage import EntryStorage
from herdless._durable.wire import NotStored
from herdless_core import ABSENT, Entry, describe, shown


@final
class Kept:
    """The storage of one entry, and the last generation that this instance claimed in it."""

    def __init__(self, storage: EntryStorage, key: str) -> None:
        self._storage: Final = storage
        self._key: Final = key
        self.claimed = 0
        """What the storage says if nobody else has written since."""
        self.refusal: NotStored | None = None
        """Why something that this step was to write is not written; None where all is."""
        self._is_behind = False
        """Whether something is stored that was replaced or removed since."""

    def take_over(self, now: int) -> Entry:
        """At the start of an instance: what its predecessor stored. Nothing, if it cannot be made sense of."""
        try:
            self.claimed = self._storage.generation()
        except Exception as error:  # noqa: BLE001  # another version's table, or whatever the runtime raises
            self._refused("be read, and is freed", error)
            self.free()
            return ABSENT
        return self._storage.entry(now)

    def begin_step(self) -> bool:
        """Whether this instance was replaced: another one has claimed a generation, or freed the storage."""
        self.refusal = None
        try:
            stored = self._storage.generation()
        except Exception as error:  # noqa: BLE001  # as above
            self._refused("be read", error)
            return False
        is_replaced = stored != self.claimed
        if is_replaced:
            self.claimed = stored
            self._is_behind = False
            self._storage.adopt_alarm()
        return is_replaced

    def adopted(self, now: int) -> Entry:
        """What the one that replaced this instance has stored."""
        return self._storage.entry(now)

    def claim(self, generation: int) -> NotStored | None:
        """Make the generation durable; why that cannot be, where it cannot."""
        if self.refusal is None:
            try:
                self._storage.claim(generation)
                self.claimed = generation
            except Exception as error:  # noqa: BLE001  # as above
                self._refused("claim a generation", error)
        return self.refusal

    def save(self, entry: Entry) -> None:
        """Write the entry, if its generation could be claimed; else see to it that no older one is there."""
        if self.refusal is None:
            try:
                self._storage.save(entry)
                self._is_behind = False
                return
            except Exception as error:  # noqa: BLE001  # as above
                self._refused("save the entry", error)
        self.forget()

    def forget(self) -> None:
        """Delete the entry."""
        try:
            self._storage.forget()
            self._is_behind = False
        except Exception as error:  # noqa: BLE001  # as above
            self._is_behind = True
            self._refused("delete the entry", error)

    def make_up(self) -> None:
        """Delete what an earlier step could not."""
        if self._is_behind:
            self.forget()

    def free(self) -> None:
        """Delete everything; whatever else could not be written need not be then."""
        try:
            self._storage.free()
            self.refusal = None
        except Exception as error:  # noqa: BLE001  # as above
            self._refused("be freed", error)
        if self._storage.is_empty:  # and be it that only the alarm is left
            self.claimed = 0
            self._is_behind = False

    def wake_at(self, instant: int) -> None:
        """Set the alarm."""
        try:
            self._storage.wake_at(instant)
        except Exception as error:  # noqa: BLE001  # as above
            self._refused("set the alarm", error)

    def alarm_went_off(self) -> None:
        """The alarm is no longer set."""
        self._storage.alarm_went_off()

    def _refused(self, what: str, error: Exception) -> None:
        warn("the storage of %s could not %s", shown(self._key), what, error=error)
        if self.refusal is None:
            kind, message = describe(error)
            self.refusal = NotStored(f"the object's storage could not {what}: {kind}: {message}")
