"""One process of a fleet, under the orders of a test: lines of JSON come in, and one goes out for each.

python -m tests.fleet.worker '{"colour": "asyncio", "store": "redis://...", "origin": "redis://...", "options": {}}'
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.stores import PostgresStore, RedisStore, Store
from herdless_verify.soak.fleet.diary import Diary
from tests.fleet.origin import Origin

Said = dict[str, Any]


def main(config: Said) -> None:
    """Do what is asked for until the end of the input."""
    origin = Origin(config["origin"])
    diary = Diary(Path(config["diary"])) if "diary" in config else None
    kind = PostgresStore if config["store"].startswith("postgresql:") else RedisStore
    store = kind(
        config["store"], name=config["name"], timeout=config.get("timeout", 1.0), **config.get("connecting", {})
    )
    match config["colour"]:
        case "asyncio":
            asyncio.run(on_asyncio(origin, store, config["options"], diary))
        case "trio":
            trio.run(on_trio, origin, store, config["options"], diary)
        case _:
            on_threads(origin, store, config["options"], diary)


async def on_asyncio(origin: Origin, store: Store, options: Said, diary: Diary | None) -> None:
    """All orders in one loop, each in a task."""

    async def load(key: Any) -> Any:
        return await loop.run_in_executor(pool, origin.load, key)

    async def call(order: Said) -> Any:
        result = getattr(cache, order["do"])(*order["args"])
        return await result if asyncio.iscoroutine(result) else result

    async def carry_out(order: Said) -> None:
        began = time.monotonic()
        tasks = [asyncio.ensure_future(call(order)) for _ in range(order["times"])]
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        reply(order, [said(end) for end in ends], began)

    pool = ThreadPoolExecutor(64)
    loop = asyncio.get_running_loop()
    cache: Any = herdless.asyncio.SharedCache(load, store=store, **options)
    cache._witness = diary
    running = set()
    async with cache:
        ready()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            task = asyncio.ensure_future(carry_out(json.loads(line)))
            running.add(task)
            task.add_done_callback(running.discard)


async def on_trio(origin: Origin, store: Store, options: Said, diary: Diary | None) -> None:
    """All orders in one run, each in a task."""
    limiter = trio.CapacityLimiter(64)

    async def load(key: Any) -> Any:
        return await trio.to_thread.run_sync(origin.load, key, limiter=limiter)

    async def call(order: Said, ends: list[Any]) -> None:
        try:
            result = getattr(cache, order["do"])(*order["args"])
            ends.append(said(await result if asyncio.iscoroutine(result) else result))
        except Exception as error:  # noqa: BLE001  # it is the reply
            ends.append(said(error))

    async def carry_out(order: Said) -> None:
        began, ends = time.monotonic(), list[Any]()
        async with trio.open_nursery() as calls:
            for _ in range(order["times"]):
                calls.start_soon(call, order, ends)
        reply(order, ends, began)

    cache: Any = herdless.trio.SharedCache(load, store=store, **options)
    cache._witness = diary
    async with cache, trio.open_nursery() as running:
        ready()
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            running.start_soon(carry_out, json.loads(line))


def on_threads(origin: Origin, store: Store, options: Said, diary: Diary | None) -> None:
    """Each order in threads of its own."""

    def call(order: Said, ends: list[Any]) -> None:
        try:
            ends.append(said(getattr(cache, order["do"])(*order["args"])))
        except Exception as error:  # noqa: BLE001  # it is the reply
            ends.append(said(error))

    def carry_out(order: Said) -> None:
        began, ends = time.monotonic(), list[Any]()
        threads = [threading.Thread(target=call, args=(order, ends)) for _ in range(order["times"])]
        run_all(threads)
        reply(order, ends, began)

    cache: Any = herdless.threads.SharedCache(origin.load, store=store, **options)
    cache._witness = diary
    with cache:
        ready()
        for line in sys.stdin:
            threading.Thread(target=carry_out, args=(json.loads(line),)).start()


def run_all(threads: list[threading.Thread]) -> None:
    """Until all have ended."""
    for act in (threading.Thread.start, threading.Thread.join):
        for thread in threads:
            act(thread)


def said(end: Any) -> Any:
    """What came of a call, in JSON."""
    if isinstance(end, BaseException):
        return {"error": type(end).__name__, "text": str(end), "kind": getattr(end, "kind", None)}
    if isinstance(end, herdless.asyncio.Lookup):
        return {"value": end.value, "how": end.how, "age": end.age}
    slots = getattr(type(end), "__dataclass_fields__", None)
    return {name: getattr(end, name) for name in slots} if slots else {"value": end}


writing = threading.Lock()
write: Callable[[str], int] = sys.stdout.write


def ready() -> None:
    """It listens."""
    with writing:
        write("ready\n")
        sys.stdout.flush()


def reply(order: Said, ends: list[Any], began: float) -> None:
    """One line."""
    with writing:
        write(json.dumps({"id": order["id"], "ends": ends, "began": began}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
