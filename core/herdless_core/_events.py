"""What can happen to an entry: six requests by callers and six reports of what came of a flight.

Events are facts. A report names the generation of its flight; one that is not the entry's own changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from herdless_core._loaded import Loaded
from herdless_core._policy import Lifetime


@final
@dataclass(slots=True)
class Get:
    """A caller looks the key up. `generation`: the next unused one, for the flight this may start."""

    generation: Final[int]
    reloads: Final[bool] = False
    """Whether a load has to answer, and not what is held."""


@final
@dataclass(slots=True)
class Put:
    """A caller gives the value."""

    value: Final[Any]
    lifetime: Final[Lifetime]
    age: Final[int] = 0
    """How old the value is already, nanoseconds."""


@final
@dataclass(slots=True)
class Invalidate:
    """A caller knows the value to be wrong: nobody who asks from now on may be answered with it."""


@final
@dataclass(slots=True)
class Expire:
    """A caller wants the value loaded again soon; until then it may be answered as stale."""


@final
@dataclass(slots=True)
class Refresh:
    """A caller wants the value loaded now, without waiting. `generation`: the next unused one."""

    generation: Final[int]


@final
@dataclass(slots=True)
class Evict:
    """The keyspace wants the room."""


@final
@dataclass(slots=True)
class LoadSucceeded:
    """The load of this generation gave a value."""

    generation: Final[int]
    value: Final[Any]
    lifetime: Final[Lifetime | None]
    """None: the value is for those who wait, and is not kept."""
    age: Final[int] = 0
    """How old the value was when the load began, nanoseconds."""


@final
@dataclass(slots=True)
class LoadFailed:
    """The load of this generation ended by an exception, of whatever kind."""

    generation: Final[int]
    error: Final[BaseException]
    is_answer: Final[bool]
    """Whether it is what there is to say of the key, as "no such row" is, and takes the place of a value. Any other one
    says that none could be had."""


@final
@dataclass(slots=True)
class DeadlinePassed:
    """The adapter's timer for this generation went off. The machine looks at `now` itself, so one too early does no
    harm.
    """

    generation: Final[int]


@final
@dataclass(slots=True)
class WaiterLeft:
    """A caller stopped waiting: it was cancelled, or its own time was up."""

    generation: Final[int]
    can_cancel: Final[bool]
    """Whether the runtime can cancel a load that nobody waits for. Threads cannot: they let it finish, and store it."""


@final
@dataclass(slots=True)
class SoftTimeoutPassed:
    """A caller has waited for `soft_timeout`. Where a value is kept meanwhile it is answered with that, and waits no
    more; where none is, it waits on.
    """

    generation: Final[int]


@final
@dataclass(slots=True)
class Restarted:
    """Whoever ran the flights is gone (a process, a forked parent, a closed event loop), and their waiters with it."""


def put_of(value: object, lifetime: Lifetime) -> Put:
    """A caller gives the value, or `Loaded(value, ...)`, of this lifetime."""
    if not isinstance(value, Loaded):
        return Put(value, lifetime)
    return Put(value.value, lifetime, value.age)


def success_of(generation: int, value: object, lifetime: Lifetime | None) -> LoadSucceeded:
    """The load of this generation gave the value, or `Loaded(value, ...)`, of this lifetime; None: not to be kept."""
    if not isinstance(value, Loaded):
        return LoadSucceeded(generation, value, lifetime)
    return LoadSucceeded(generation, value.value, lifetime, value.age)


Request: TypeAlias = Get | Put | Invalidate | Expire | Refresh | Evict
Report: TypeAlias = LoadSucceeded | LoadFailed | DeadlinePassed | WaiterLeft | SoftTimeoutPassed
Event: TypeAlias = Request | Report | Restarted
