"""One process of a fleet that is measured: lines of JSON come in, and one goes out for each.

python -m tests.benchmarks.fleet_worker TABLE SUBJECT ADDRESS PREFIX ORIGIN SECONDS_OF_A_LOCK

The order `["herd", key, callers, at]` begins so many lookups at this instant of the wall clock. The answer is how many
gave the right value, and at which instants the callers had it. The order `["hammer", key, callers, until]` has so many
callers look up again and again until this instant; the answer has for each lookup how many seconds it took.

A key says after a colon how many seconds its load takes. Each load begins by noting its instant in a list of the
origin, which is a server of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

from tests.benchmarks import fleet_subjects
from tests.benchmarks.subjects import module


async def main(table: str, subject: str, url: str, prefix: str, origin: str, lock: str) -> None:
    """Until the end of the input."""
    books = module("redis").Redis.from_url(origin)

    def note(key: str) -> float:
        books.rpush(f"{prefix}:{key}", time.time())
        return float(key.rpartition(":")[2])

    async def load(key: str) -> str:
        await asyncio.sleep(note(key))
        return key

    def load_on_thread(key: str) -> str:
        time.sleep(note(key))
        return key

    async def timed(key: str) -> tuple[str | None, float]:
        try:
            value = await get(key)
        except Exception:  # noqa: BLE001  # it is counted
            return None, time.time()
        return value, time.time()

    async def herd(key: str, callers: int, at: float) -> Any:
        await asyncio.sleep(max(at - time.time(), 0))
        ends = await asyncio.gather(*(timed(key) for _ in range(callers)))
        return {"right": sum(value == key for value, _ in ends), "at": [at for _, at in ends]}

    async def hammer(key: str, callers: int, until: float) -> Any:
        async def ask_again_and_again() -> list[float]:
            took = []
            while (began := time.time()) < until:
                took.append((await timed(key))[1] - began)
                await asyncio.sleep(PAUSE_SECONDS)
            return took

        return await asyncio.gather(*(ask_again_and_again() for _ in range(callers)))

    async def carry_out(do: str, *order: Any) -> None:
        say(await {"herd": herd, "hammer": hammer}[do](*order))

    get = await fleet_subjects.TABLES[table][subject](url, prefix, load, load_on_thread, float(lock))
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    running = set()
    say("ready")
    while line := await lines.get():
        task = asyncio.ensure_future(carry_out(*json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


PAUSE_SECONDS = 0.005


def say(what: Any) -> None:
    """One line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
