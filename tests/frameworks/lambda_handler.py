"""An AWS Lambda function: one process answers one event after the other, and is frozen between two of them.

An event says which cache it asks, and for how many seconds the process had been frozen before it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import urllib.request
from typing import Any

import herdless.asyncio
import herdless.threads
from herdless.testing import VirtualClock

clock = VirtualClock()


def load(key: str) -> str:
    """Ask the origin, which may take its time."""
    with urllib.request.urlopen(f"{os.environ['ORIGIN']}/{key}", timeout=60) as answer:  # noqa: S310  # the test gives the address
        body: bytes = answer.read()
    return body.decode()


async def load_async(key: str) -> str:
    """The same."""
    return await asyncio.to_thread(load, key)


sync_cache = herdless.threads.Cache(
    load, ttl=60, stale_while_revalidate=60, stale_if_error=86_400, load_timeout=5, clock=clock
)
async_cache = herdless.asyncio.Cache(load_async, ttl=60, stale_while_revalidate=60, load_timeout=5, clock=clock)


async def ask(key: str) -> dict[str, Any]:
    """In an event loop that ends with the event; what is being refreshed is waited for."""
    found = await async_cache.lookup(key)
    await async_cache.settled()
    return {"value": found.value, "how": found.how}


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """What AWS calls."""
    clock.advance(event["frozen"])
    if event["kind"] == "async":
        answer = asyncio.run(ask(event["key"]))
    else:
        found = sync_cache.lookup(event["key"])
        answer = {"value": found.value, "how": found.how}
    return answer | {"pid": os.getpid(), "threads": threading.active_count()}
