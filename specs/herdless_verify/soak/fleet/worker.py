"""One process of the fleet: callers that look keys up without end, and orders from outside, lines of JSON.

    python -m herdless_verify.soak.fleet.worker '{"colour": "asyncio", "store": "redis://...", ...}'

An order is `{"id": 1, "do": "invalidate", "args": ["a"]}`, and its reply `{"id": 1, "began": ..., "ended": ...}` with a
"value" or the kind of an "error". "stop" lets all callers come to their end; then the process ends.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

import herdless.asyncio
import herdless.threads
from herdless.adapter import LOGGER
from herdless.stores import RedisStore
from herdless_verify.soak.fleet.diary import Diary
from herdless_verify.soak.fleet.truth import KEYS, Truth

CALLERS: Final = 6
LONGEST_PAUSE: Final = 0.03
LONGEST_LOAD: Final = 0.3
FAILS: Final = 0.05
"""So many of the loads."""


class LoadBroke(Exception):
    """The loader's own."""


@final
class Process:
    """What both colours have. config: as the parent gave it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.options: Final[dict[str, Any]] = config["options"]
        self.store: Final = RedisStore(config["store"], name=config["name"], timeout=config["timeout"])
        self.truth: Final = Truth(Path(config["truth"]))
        self.diary: Final = Diary(Path(config["diary"]))
        self.luck: Final = random.Random(config["seed"])
        self.is_over = False
        self._numbers: Final = itertools.count()
        self._writing: Final = threading.Lock()

    def begin_load(self, key: str) -> tuple[int, float, bool]:
        """What is true now; how long it takes to arrive, and whether it does."""
        self.diary.write(load=key, at=time.monotonic())
        return self.truth[key], self.luck.random() * LONGEST_LOAD, self.luck.random() >= FAILS

    @contextmanager
    def looking(self, key: str) -> Iterator[Callable[[Any], None]]:
        """A lookup, from its beginning to its end; yields what is to be told of its result."""
        number, told = next(self._numbers), dict[str, Any]()
        self.diary.write(lookup=number, key=key, at=time.monotonic())

        def tell(found: Any) -> None:
            told.update(value=found.value, how=found.how, age=found.age)

        try:
            yield tell
        except Exception as error:  # noqa: BLE001  # the judge says whether it may be
            told.update(error=getattr(error, "kind", type(error).__name__))
        finally:
            self.diary.write(answer=number, at=time.monotonic(), **told)

    def reply(self, order: dict[str, Any], began: float, end: Any) -> None:
        """Say what came of an order."""
        told = {"error": type(end).__name__} if isinstance(end, Exception) else {"value": end}
        line = {"id": order["id"], "began": began, "ended": time.monotonic(), **told}
        self.say(json.dumps(line))

    def say(self, line: str) -> None:
        """To the parent."""
        with self._writing:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


async def on_asyncio(process: Process) -> None:
    """Callers are tasks, and so are orders."""

    async def load(key: str) -> int:
        truth, seconds, arrives = process.begin_load(key)
        await asyncio.sleep(seconds)
        if not arrives:
            raise LoadBroke
        return truth

    async def call() -> None:
        while not process.is_over:
            key = process.luck.choice(KEYS)
            with process.looking(key) as tell:
                tell(await cache.lookup(key))
            await asyncio.sleep(process.luck.random() * LONGEST_PAUSE)

    async def carry_out(order: dict[str, Any]) -> None:
        began = time.monotonic()
        try:
            end = await getattr(cache, order["do"])(*order["args"])
        except Exception as error:  # noqa: BLE001  # it is the reply
            end = error
        process.reply(order, began, end)

    cache: Any = herdless.asyncio.SharedCache(load, store=process.store, **process.options)
    cache._witness = process.diary
    loop = asyncio.get_running_loop()
    async with cache:
        process.say("ready")
        working = {asyncio.ensure_future(call()) for _ in range(CALLERS)}
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            if order["do"] == "stop":
                break
            working.add(asyncio.ensure_future(carry_out(order)))
        process.is_over = True
        await asyncio.gather(*working)
    process.say("over")


def on_threads(process: Process) -> None:
    """Callers are threads, and so are orders."""

    def load(key: str) -> int:
        truth, seconds, arrives = process.begin_load(key)
        time.sleep(seconds)
        if not arrives:
            raise LoadBroke
        return truth

    def call() -> None:
        while not process.is_over:
            key = process.luck.choice(KEYS)
            with process.looking(key) as tell:
                tell(cache.lookup(key))
            time.sleep(process.luck.random() * LONGEST_PAUSE)

    def carry_out(order: dict[str, Any]) -> None:
        began = time.monotonic()
        try:
            end = getattr(cache, order["do"])(*order["args"])
        except Exception as error:  # noqa: BLE001  # it is the reply
            end = error
        process.reply(order, began, end)

    cache: Any = herdless.threads.SharedCache(load, store=process.store, **process.options)
    cache._witness = process.diary
    with cache:
        process.say("ready")
        working = [threading.Thread(target=call) for _ in range(CALLERS)]
        for thread in working:
            thread.start()
        for line in sys.stdin:
            order = json.loads(line)
            if order["do"] == "stop":
                break
            working.append(threading.Thread(target=carry_out, args=(order,)))
            working[-1].start()
        process.is_over = True
        for thread in working:
            thread.join()
    process.say("over")


def main(config: dict[str, Any]) -> None:
    """Until the parent says so, or is gone."""
    LOGGER.propagate = False  # loads fail on purpose
    LOGGER.addHandler(logging.NullHandler())
    if config["prepare"]:
        module, _, function = config["prepare"].partition(":")
        getattr(importlib.import_module(module), function)()
    process = Process(config)
    if config["colour"] == "asyncio":
        asyncio.run(on_asyncio(process))
    else:
        on_threads(process)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
