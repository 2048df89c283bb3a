"""Where the adapters take their locks, events and threads from: one place, so that a scheduler can put its own there.

Used as `_primitives.Lock()`, when something is made and never on the way of a hit, so it costs nothing when unused.
"""

from threading import Condition, Event, Lock, RLock

from herdless._daemons import start_daemon

__all__ = ["Condition", "Event", "Lock", "RLock", "start_daemon"]
