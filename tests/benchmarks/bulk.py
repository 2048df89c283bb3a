"""Many keys at once: a page of 100 keys by `get_many`, by 100 gets, and by a DataLoader.

The bulk loader returns at once, so that what is measured is the way to it. The floor of a cold page is the call of the
loader alone, that of a warm one a dictionary of a hundred items made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

import herdless.asyncio
from tests.benchmarks.hit import table
from tests.benchmarks.measure import Batch, compare, cpu_time, on_loop
from tests.benchmarks.results import Plan, Result
from tests.benchmarks.subjects import is_installed, module

PAGE: Final = 100
COLD: Final = "load_many(keys), no cache"
WARM: Final = "{key: table[key] for key in keys}"

Ask: TypeAlias = Callable[[list[int]], Awaitable[object]]


def run(plan: Plan) -> Result:
    """Cold and warm pages in asyncio; one operation is a page."""
    with asyncio.Runner() as runner:
        cold = _compared(runner, plan, COLD, {COLD: lambda: load_many, **_makers()}, _cold)
        warm = _compared(runner, plan, WARM, {WARM: _table, **_makers()}, _warm)
    return Result(
        tables=(
            table(f"{PAGE} keys, none of them known", cold, "Floor: the one call of the bulk loader."),
            table(f"{PAGE} keys, all of them known", warm, "Floor: a dictionary made of another."),
        ),
        figures={},
    )


def _compared(
    runner: asyncio.Runner, plan: Plan, base: str, makers: dict[str, Callable[[], Ask]], measure: Callable[..., Any]
) -> Any:
    batches: dict[str, Batch] = {name: on_loop(runner, partial(measure, make)) for name, make in makers.items()}
    return compare(batches, base=base, rounds=plan.rounds, operations=plan.size(50, 10))


async def load_many(keys: list[int]) -> dict[int, int]:
    """The loader of all."""
    return {key: key for key in keys}


def _makers() -> dict[str, Callable[[], Ask]]:
    makers: dict[str, Callable[[], Ask]] = {"herdless, get_many": _get_many, "herdless, 100 gets side by side": _gets}
    if is_installed("aiodataloader"):
        makers["aiodataloader, load_many"] = _data_loader
    return makers


def _table() -> Ask:
    known = {key: key for key in range(PAGE)}

    async def ask(keys: list[int]) -> object:
        return {key: known[key] for key in keys}

    return ask


def _get_many() -> Ask:
    return herdless.asyncio.Cache[int, int](load_many=load_many, batch_size=PAGE).get_many


def _gets() -> Ask:
    cache: herdless.asyncio.Cache[int, int] = herdless.asyncio.Cache(load_many=load_many, batch_size=PAGE)
    return lambda keys: asyncio.gather(*map(cache.get, keys))


def _data_loader() -> Ask:
    async def in_order(keys: list[int]) -> list[int]:
        found = await load_many(keys)
        return [found[key] for key in keys]

    loader: Any = module("aiodataloader").DataLoader(in_order)
    return loader.load_many  # type: ignore[no-any-return]  # a peer has no types here


async def _cold(make: Callable[[], Ask], operations: int) -> int:
    """The CPU time of so many pages, each of a cache that knows nothing."""
    keys = list(range(PAGE))
    spent = 0
    for _ in range(operations):
        ask = make()
        start = cpu_time()
        await ask(keys)
        spent += cpu_time() - start
    return spent


async def _warm(make: Callable[[], Ask], operations: int) -> int:
    """The CPU time of so many pages that a cache knows."""
    keys = list(range(PAGE))
    ask = make()
    await ask(keys)
    start = cpu_time()
    for _ in range(operations):
        await ask(keys)
    return cpu_time() - start
