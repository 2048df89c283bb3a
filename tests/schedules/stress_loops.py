"""Rounds of the stress command in event loops: tasks of one key, and for asyncio threads that change it besides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import trio

import herdless.asyncio
import herdless.trio
from tests.schedules.one_key import OneKey
from tests.schedules.oracle import Made

TASKS = 3
OUTSIDERS = 2
ACTIONS = 5


def asyncio_round(seed: int) -> int:
    """Tasks look up and leave while threads put and invalidate; returns how many steps that took."""
    play = OneKey(seed)
    asyncio.run(_asyncio_round(play))
    return play.judged()


async def _asyncio_round(play: OneKey) -> None:
    async def load(_key: str) -> Made:
        made = play.load()
        for _ in range(play.dice.randrange(3)):
            await asyncio.sleep(0)
        return made

    cache = herdless.asyncio.Cache(load, observe=play.trace)

    async def caller(leaves: list[bool]) -> None:
        for is_leaving in leaves:
            try:
                async with asyncio.timeout(0 if is_leaving else None):
                    await play.get(cache)
            except TimeoutError:
                pass
            await asyncio.sleep(0)

    def outside(puts: list[bool]) -> None:
        for is_put in puts:
            (play.put if is_put else play.invalidate)(cache)

    plans = [[play.dice.random() < 0.2 for _ in range(ACTIONS)] for _ in range(TASKS)]
    outsiders = [[play.dice.random() < 0.5 for _ in range(2)] for _ in range(OUTSIDERS)]
    async with cache:
        tasks = [asyncio.create_task(caller(plan)) for plan in plans]
        await asyncio.gather(*tasks, *(asyncio.to_thread(outside, plan) for plan in outsiders))


def trio_round(seed: int) -> int:
    """Tasks do random things with one key; returns how many steps that took."""
    play = OneKey(seed)
    trio.run(_trio_round, play)
    return play.judged()


async def _trio_round(play: OneKey) -> None:
    async def load(_key: str) -> Made:
        made = play.load()
        for _ in range(play.dice.randrange(3)):
            await trio.lowlevel.checkpoint()
        return made

    cache = herdless.trio.Cache(load, observe=play.trace)

    async def leave() -> None:
        with trio.move_on_after(0):
            await play.get(cache)

    async def caller(actions: list[int]) -> None:
        changes: list[Callable[[herdless.trio.Cache[str, Made]], None]] = [play.invalidate, play.put]
        for action in actions:
            if action < 2:
                changes[action](cache)
            elif action == 2:
                await leave()
            else:
                await play.get(cache)
            await trio.lowlevel.checkpoint()

    plans = [[play.dice.randrange(8) for _ in range(ACTIONS)] for _ in range(TASKS)]
    async with cache, trio.open_nursery() as nursery:
        for plan in plans:
            nursery.start_soon(caller, plan)
