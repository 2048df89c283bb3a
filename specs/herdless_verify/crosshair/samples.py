"""What each contract is asked, on a fixed sample of numbers: how many are possible, which promises they try, and
whether the contract can fail.

CrossHair says nothing of how narrow a precondition is, nor whether a contract could ever be false. So the precondition
as it stands is counted on the same numbers each time, each promise tells how often its situation is among them, and a
machine with one mistake must make the contract false for some of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from random import Random
from typing import Any, Final, final

from herdless_core import Event, Get, LoadSucceeded, Step, _machine
from herdless_core._eviction import Verdict
from herdless_verify.crosshair import contracts as module
from herdless_verify.crosshair.contracts import Named, Numbers, Part, contracts, entry_of, event_of, policy_of
from herdless_verify.exploration.situations import SITUATIONS, lookup_is_answered
from herdless_verify.mistakes import controls, machine_edits

SIZE: Final = 1_000
POSSIBLE: Final = 592
"""So many of the sample are within what any cache can come to."""
EVERYTHING: Final = "everything may be evicted"
"""The mistake of what is no part of the machine."""

EVENTS: Final[dict[str, type[Event]]] = {
    "ReadIsGet": Get,
    "JoinIsGet": Get,
    "StartIsGet": Get,
    "PeekIsGet": Get,
    "FillIsStep": LoadSucceeded,
}
"""Of the contracts that compare a function with a step, that step's."""


@final
@dataclass(frozen=True, slots=True)
class Reach:
    """What a contract has been asked on the sample."""

    possible: int
    """How many of the numbers its precondition lets through."""
    pinned: int
    tried: Counter[str]
    """How often the situation of each of its promises is among these."""
    mistake: str
    is_refuted: bool
    """Whether the mistake makes it false."""


@cache
def sample() -> tuple[Numbers, ...]:
    """Small numbers, so that they often meet; the same ones each time."""
    chance = Random(16)  # by the seed alone
    return tuple(_numbers(chance) for _ in range(SIZE))


RANGES: Final[dict[str, tuple[int, int]]] = {
    "state": (0, 4),
    "now": (0, 5),
    "loaded_at": (-4, 4),
    "started_at": (-4, 4),
    "fresh_until": (-4, 4),
    "refresh_at": (-4, 4),
    "early_refresh": (0, 2),
    "generation": (1, 2),
    "other_generation": (1, 2),
    "waiters": (0, 2),
    "max_waiters": (1, 2),
}
"""From where to where a number is chosen; durations from `DURATION`."""

DURATION: Final = (0, 6)


def _numbers(chance: Random) -> Numbers:
    chosen: dict[str, Any] = {}
    for field in fields(Numbers):
        if field.type in ("bool", bool):
            chosen[field.name] = chance.random() < 0.5
        else:
            chosen[field.name] = chance.randint(*RANGES.get(field.name, DURATION))
    return Numbers(**chosen)


def reach(contract: Named) -> Reach:
    """What the contract is asked on the sample, and whether its mistake is refuted there."""
    possible = [n for n in sample() if _is_let_through(contract, n)]
    tried: Counter[str] = Counter()
    for n in possible:
        tried.update(_tries(contract, n))
    name = controls("contracts")[contract.control]
    broken = _mistaken(contract, name)
    pinned = SIZE if contract.control == "Eviction" else POSSIBLE
    return Reach(len(possible), pinned, tried, name, any(_is_false(broken, n) for n in possible))


def _is_let_through(contract: Named, n: Numbers) -> bool:
    """By the precondition as it stands in the contract."""
    lines = (contract.holds.__doc__ or "").splitlines()
    conditions = [line.partition("pre:")[2].strip() for line in lines if line.strip().startswith("pre:")]
    return all(eval(condition, dict(vars(module)), {"n": n}) for condition in conditions)  # noqa: S307 - our own text


def _tries(contract: Named, n: Numbers) -> Iterator[str]:
    if contract.kind is not None:
        step = _step(n, contract.kind, contract.part)
        yield from (promise for promise in contract.promises if SITUATIONS[promise](step))
        return
    (promise,) = contract.promises
    kind = EVENTS.get(promise)
    if kind is None:
        is_tried = promise != "Ageing" or _ages(n)
    elif promise == "StartIsGet":
        is_tried = True
    else:
        situation = lookup_is_answered if promise == "PeekIsGet" else SITUATIONS[promise]
        is_tried = situation(_step(n, kind, None))
    if is_tried:
        yield promise


def _ages(n: Numbers) -> bool:
    entry = entry_of(n)
    return _machine.age(entry, n.now) is not entry


def _step(n: Numbers, kind: type[Event], part: Part | None) -> Step:
    before, event, policy = entry_of(n, part), event_of(kind, n), policy_of(n)
    return Step(before, event, n.now, policy, *_machine.transition(before, event, n.now, policy))


def _mistaken(contract: Named, name: str) -> Named:
    """The same contract of a machine with a mistake."""
    if name == EVERYTHING:
        found = contracts(decide=lambda _queue, _standing: Verdict.EVICT)
    else:
        found = contracts(machine_edits()[name].machine())
    return next(each for each in found if each.name == contract.name)


def _is_false(contract: Named, n: Numbers) -> bool:
    try:
        return not contract.holds(n)
    except Exception:  # noqa: BLE001 - a machine that raises has been found out
        return True
