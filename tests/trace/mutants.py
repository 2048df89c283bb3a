"""A recorded trace, and what it would be if the adapter, or the machine, had gone wrong in one thing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final, TypeAlias

from herdless.asyncio import Cache
from herdless.testing import Schedule, VirtualClock, run_asyncio
from herdless.trace import TraceWriter

Plain: TypeAlias = dict[str, Any]
Mutate: TypeAlias = Callable[[list[Plain]], int]
"""Changes the lines; returns the number of the first one that is wrong, from 1."""


def base() -> list[Plain]:
    """One key: a shared load, a load that is invalidated on its way, another beside it, a put, a refresh."""
    clock, lines = VirtualClock(), list[str]()
    seconds = iter((1, 2, 2, 1))

    async def load(key: str) -> list[str]:
        await asyncio.sleep(next(seconds))
        return [key]

    async def main() -> None:
        async with Cache(
            load, ttl=4, stale_while_revalidate=2, clock=clock, observe=TraceWriter(lines.append)
        ) as cache:
            await asyncio.gather(cache.get("a"), cache.get("a"))  # 0 s to 1 s
            await asyncio.sleep(6)
            early = [asyncio.create_task(cache.get("a")) for _ in range(2)]  # 7 s to 9 s
            await asyncio.sleep(1)
            cache.invalidate("a")
            await cache.get("a")  # 8 s to 10 s
            await asyncio.gather(*early)
            cache.put("a", ["put"])
            await asyncio.sleep(5)
            await cache.get("a")  # stale
            await asyncio.sleep(2)
            cache.invalidate("a")

    run_asyncio(main, Schedule(), clock=clock)
    return [json.loads(line) for line in lines]


def as_text(lines: list[Plain]) -> list[str]:
    """The lines as they would stand in a file."""
    return [json.dumps(line) + "\n" for line in lines]


def _find(lines: list[Plain], event: str, generation: int | None = None, effect: str | None = None) -> int:
    """The index of the first step by this event, about this generation, that orders this."""
    for index, line in enumerate(lines[1:], start=1):
        is_about = line["event"]["event"] == event and generation in (None, line["event"].get("generation"))
        if is_about and (effect is None or any(each["effect"] == effect for each in line["effects"])):
            return index
    raise AssertionError(f"there is no {event} {generation} {effect}")


def _settle_dropped(lines: list[Plain]) -> int:
    at = _find(lines, "LoadSucceeded", 1)
    lines[at]["effects"] = [effect for effect in lines[at]["effects"] if effect["effect"] != "Settle"]
    return at + 1


def _line_dropped(lines: list[Plain]) -> int:
    at = _find(lines, "LoadSucceeded", 1)
    del lines[at]
    return at + 1


def _late_store(lines: list[Plain]) -> int:
    """The load that was invalidated on its way stores its value over the next one's flight."""
    at = _find(lines, "LoadSucceeded", 2)
    stored = deepcopy(lines[_find(lines, "LoadSucceeded", 1)])
    late = lines[at]
    late["before"] = deepcopy(lines[_find(lines, "Get", 3)]["after"])
    late["after"] = stored["after"] | {"value": late["event"]["value"]}
    for field in ("loaded_at", "refresh_at", "hit_until"):
        late["after"][field] += 7_000_000_000
    late["effects"].insert(0, {"effect": "Save"})
    return at + 1


def _late_store_in_an_empty_entry(lines: list[Plain]) -> int:
    """The same after the next load is over too, and its value was invalidated."""
    late = deepcopy(lines[_find(lines, "LoadSucceeded", 2)])
    late["now"] = lines[-1]["now"]
    late["before"] = {"state": "absent"}
    late["after"] = deepcopy(lines[_find(lines, "LoadSucceeded", 3)]["after"])
    late["effects"] = [{"effect": "Save"}]
    lines.append(late)
    return len(lines)


def _waiters_swapped(lines: list[Plain]) -> int:
    """Who joined the second flight is counted for the one that was invalidated."""
    at = _find(lines, "Invalidate")
    lines[at]["after"]["flight"]["waiters"] = 1
    return at + 1


def _joins_swapped(lines: list[Plain]) -> int:
    lines[1], lines[2] = lines[2], lines[1]
    return 2


def _hit_past_its_ttl(lines: list[Plain]) -> int:
    """The lookup at 7 s is answered by the value of 0 s."""
    settled = lines[_find(lines, "LoadSucceeded", 1)]["effects"][1]
    at = _find(lines, "Get", 2, "StartLoad")
    lines[at]["after"] = deepcopy(lines[at]["before"])
    lines[at]["effects"] = [{"effect": "Answer", "outcome": settled["outcome"]}]
    return at + 1


def _generation_reused(lines: list[Plain]) -> int:
    """The third flight has the number of the second, which is still awaited."""
    at = _find(lines, "Get", 3, "StartLoad")
    for line in lines[at:]:
        for part in (line["event"], line["before"].get("flight"), line["after"].get("flight"), *line["effects"]):
            if part and part.get("generation") == 3:
                part["generation"] = 2
    return at + 1


def _woken_before_the_save(lines: list[Plain]) -> int:
    at = _find(lines, "LoadSucceeded", 1)
    lines[at]["effects"].reverse()
    return at + 1


def _another_value(lines: list[Plain]) -> int:
    """The waiters are told something else than what is stored."""
    at = _find(lines, "LoadSucceeded", 3)
    lines[at]["effects"][1]["outcome"]["value"] = 99
    return at + 1


def _served_after_the_invalidation(lines: list[Plain]) -> int:
    """The removal leaves the value where it was."""
    at = len(lines) - 1
    lines[at]["after"] = deepcopy(lines[at]["before"])
    lines[at]["effects"] = []
    return at + 1


def _no_refresh(lines: list[Plain]) -> int:
    """A stale answer, behind which nothing is loaded."""
    at = _find(lines, "Get", 4, "Answer")
    del lines[at]["effects"][1:]
    lines[at]["after"]["flight"] = None
    return at + 1


def _time_goes_back(lines: list[Plain]) -> int:
    at = _find(lines, "LoadSucceeded", 2)
    lines[at]["now"] -= 1_500_000_000
    return at + 1


MUTANTS: Final[Mapping[str, Mutate]] = {
    mutate.__name__.strip("_"): mutate
    for mutate in (
        _settle_dropped,
        _line_dropped,
        _late_store,
        _late_store_in_an_empty_entry,
        _waiters_swapped,
        _joins_swapped,
        _hit_past_its_ttl,
        _generation_reused,
        _woken_before_the_save,
        _another_value,
        _served_after_the_invalidation,
        _no_refresh,
        _time_goes_back,
    )
}


def mutated(name: str) -> tuple[list[str], int]:
    """The lines of the mutant, and which of them is the first that is wrong."""
    lines = base()
    number = MUTANTS[name](lines)
    return as_text(lines), number
