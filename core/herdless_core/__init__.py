"""The pure part of herdless: the entry state machine, and the keyspace that holds many entries.

Nothing in here reads a clock, takes a lock, runs a loop, draws a random number or does I/O. The public names are those
below, and those of two modules: `herdless_core.invariants`, the promises as predicates, and `herdless_core.table`, the
summary of all moves. The order in which to read: `_states`, `_events`, `_effects`, `_machine`, `_steps`, `_held`,
`_keyspace`.
"""

from herdless_core._durations import LONG_AGO, NANOSECONDS_PER_SECOND, NEVER, Duration, after
from herdless_core._effects import (
    Answer,
    CancelLoad,
    Effect,
    Effects,
    Forget,
    Join,
    Outcome,
    Rearm,
    Refuse,
    Reply,
    Save,
    Settle,
    StartLoad,
    Value,
    reply_of,
)
from herdless_core._errors import (
    CacheClosed,
    HerdlessError,
    LoadCancelled,
    LoadError,
    LoadTimeout,
    MisuseError,
    NoLoader,
    PolicyError,
    ReentrantLoad,
    RemoteLoadError,
    StoreDown,
    TooManyLoads,
    TooManyWaiters,
)
from herdless_core._events import (
    DeadlinePassed,
    Event,
    Evict,
    Expire,
    Get,
    Invalidate,
    LoadFailed,
    LoadSucceeded,
    Put,
    Refresh,
    Report,
    Request,
    Restarted,
    SoftTimeoutPassed,
    WaiterLeft,
)
from herdless_core._held import value_in
from herdless_core._holdings import Holding, RemovalCause
from herdless_core._keyspace import Keyspace
from herdless_core._loaded import Loaded, with_tags
from herdless_core._machine import Step, age, peek, read, transition
from herdless_core._plain import MAX_MESSAGE_CHARACTERS, Plain, describe, from_plain, to_plain
from herdless_core._policy import Lifetime, Policy, PolicyOptions
from herdless_core._previous import NOT_MODIFIED, Previous
from herdless_core._records import entries_of, record_of
from herdless_core._running import RunningLoad
from herdless_core._shown import ShowKey, Shown, shown
from herdless_core._states import ABSENT, Absent, Cause, Entry, Evicted, Failure, Flight, Fresh, Pending, Stale
from herdless_core._stats import Stats
from herdless_core._steps import Observer
from herdless_core._tags import tags_named

__all__ = [
    "ABSENT",
    "LONG_AGO",
    "MAX_MESSAGE_CHARACTERS",
    "NANOSECONDS_PER_SECOND",
    "NEVER",
    "NOT_MODIFIED",
    "Absent",
    "Answer",
    "CacheClosed",
    "CancelLoad",
    "Cause",
    "DeadlinePassed",
    "Duration",
    "Effect",
    "Effects",
    "Entry",
    "Event",
    "Evict",
    "Evicted",
    "Expire",
    "Failure",
    "Flight",
    "Forget",
    "Fresh",
    "Get",
    "HerdlessError",
    "Holding",
    "Invalidate",
    "Join",
    "Keyspace",
    "Lifetime",
    "LoadCancelled",
    "LoadError",
    "LoadFailed",
    "LoadSucceeded",
    "LoadTimeout",
    "Loaded",
    "MisuseError",
    "NoLoader",
    "Observer",
    "Outcome",
    "Pending",
    "Plain",
    "Policy",
    "PolicyError",
    "PolicyOptions",
    "Previous",
    "Put",
    "Rearm",
    "ReentrantLoad",
    "Refresh",
    "Refuse",
    "RemoteLoadError",
    "RemovalCause",
    "Reply",
    "Report",
    "Request",
    "Restarted",
    "RunningLoad",
    "Save",
    "Settle",
    "ShowKey",
    "Shown",
    "SoftTimeoutPassed",
    "Stale",
    "StartLoad",
    "Stats",
    "Step",
    "StoreDown",
    "TooManyLoads",
    "TooManyWaiters",
    "Value",
    "WaiterLeft",
    "after",
    "age",
    "describe",
    "entries_of",
    "from_plain",
    "peek",
    "read",
    "record_of",
    "reply_of",
    "shown",
    "tags_named",
    "to_plain",
    "transition",
    "value_in",
    "with_tags",
]
