"""What the machine orders, and what an adapter MUST do for each.

A step returns its effects in the order in which they are to be carried out. Three rules bind every adapter:

1. The next entry is committed BEFORE any effect is carried out, and every Save or Forget of a step is done BEFORE its
   Settle wakes anybody. A woken caller that asks again at once must see what its answer already told it.
2. A caller that got Join is registered as a waiter of that generation in the same critical section as the step.
3. Where entries are durable, a generation is durable BEFORE its load starts, and a Put, Invalidate or Expire BEFORE it
   returns. Evictions and load results may lag (formally: specs/CacheEntry.tla, the durable variant).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from herdless_core._errors import TooManyWaiters
from herdless_core._states import Failure


@final
@dataclass(slots=True)
class Value:
    """A value to answer with."""

    value: Final[Any]
    loaded_at: Final[int]
    """When its load started, nanoseconds."""
    is_stale: Final[bool]
    """True when it is past its ttl, or takes the place of a load that failed."""


Outcome: TypeAlias = Value | Failure
"""How a load ended, or what a lookup is answered with: a value, or an error."""


@final
@dataclass(slots=True)
class Answer:
    """The caller MUST be answered with this at once; it does not wait."""

    outcome: Final[Outcome]


@final
@dataclass(slots=True)
class Join:
    """The caller MUST be registered as a waiter of this generation BEFORE the critical section of the step ends."""

    generation: Final[int]
    leads: Final[bool]
    """True when the caller's own lookup started the flight."""


@final
@dataclass(slots=True)
class Refuse:
    """The caller MUST get `error`; it is not registered."""

    max_waiters: Final[int]

    def error(self, key: str) -> TooManyWaiters:
        """What to raise; `key`: the text that stands for the key."""
        return TooManyWaiters(f"max_waiters={self.max_waiters} callers wait for the load of {key} already")


@final
@dataclass(slots=True)
class StartLoad:
    """The loader MUST be called once for this generation, and not under the caller's cancellation. Its end MUST be
    reported, whatever it is.

    At `due_at`, if it is not `NEVER`, DeadlinePassed MUST be reported. It may be later where nobody waits; a waiter
    must not wait on.
    """

    generation: Final[int]
    due_at: Final[int]


@final
@dataclass(slots=True)
class CancelLoad:
    """The load SHOULD be cancelled if the runtime can; nothing it still reports is stored."""

    generation: Final[int]


@final
@dataclass(slots=True)
class Settle:
    """Every waiter of this generation MUST be answered with this, AFTER Save and Forget; none is left waiting."""

    generation: Final[int]
    outcome: Final[Outcome]


@final
@dataclass(slots=True)
class Rearm:
    """The timer went off too early: it MUST be set again, to `due_at`."""

    generation: Final[int]
    due_at: Final[int]


@final
@dataclass(slots=True)
class Save:
    """A durable entry MUST be written, BEFORE anybody is woken."""


@final
@dataclass(slots=True)
class Forget:
    """A durable entry MUST be deleted, BEFORE anybody is woken."""


Reply: TypeAlias = Answer | Join | Refuse
"""What a Get is answered with: its first effect, and the only one of these."""

Effect: TypeAlias = Reply | StartLoad | CancelLoad | Settle | Rearm | Save | Forget
Effects: TypeAlias = tuple[Effect, ...]

SAVE: Final = Save()
FORGET: Final = Forget()


def has_effect(effects: Effects, kind: type[StartLoad | Save]) -> bool:
    """Whether one of them is of this kind."""
    for effect in effects:  # noqa: SIM110  # a generator that is left half-way swallows an interrupt, which ends it
        if isinstance(effect, kind):
            return True
    return False


def reply_of(effects: Effects) -> Reply:
    """The first effect of a Get, which says what becomes of the caller; ValueError where it is none."""
    reply = effects[0] if effects else None
    if isinstance(reply, (Join, Answer, Refuse)):
        return reply
    raise ValueError(f"no reply is the first of {effects!r}")
