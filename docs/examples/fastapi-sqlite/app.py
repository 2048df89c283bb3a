"""A shop's prices, from SQLite, through a cache. `python app.py` serves them on port 8000, or on $PORT."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from prometheus_client import make_asgi_app

from herdless import instrument
from herdless.asyncio import Cache

DATABASE = Path(os.environ.get("DATABASE", "shop.sqlite"))


class NoSuchItem(LookupError):
    """The shop has no such item: an answer, which is remembered like a price."""


def query(item: str) -> int:
    """Ask the database; the connection is the load's own, and never a request's."""
    with sqlite3.connect(DATABASE) as database:
        database.execute("INSERT INTO queries (item) VALUES (?)", (item,))  # so that the herd can be counted
        row = database.execute("SELECT price FROM prices WHERE item = ?", (item,)).fetchone()
    database.close()
    if row is None:
        raise NoSuchItem(item)
    return int(row[0])


async def load(item: str) -> int:
    """The loader: blocking work belongs on a thread."""
    return await asyncio.to_thread(query, item)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The cache lives as long as the application, and is closed with it."""
    with sqlite3.connect(DATABASE) as database:
        database.execute("CREATE TABLE IF NOT EXISTS prices (item TEXT PRIMARY KEY, price INTEGER)")
        database.execute("CREATE TABLE IF NOT EXISTS queries (item TEXT)")
        database.executemany("INSERT OR REPLACE INTO prices VALUES (?, ?)", [("tea", 3), ("coffee", 4)])
    database.close()
    async with Cache(
        load,
        ttl=60,
        early_refresh=0.8,
        stale_if_error=3600,
        load_timeout=5,
        negative_ttl=5,
        answers=NoSuchItem,
        name="prices",
    ) as app.state.prices:
        yield


def prices(request: Request) -> Cache[str, int]:
    """The dependency."""
    cache: Cache[str, int] = request.app.state.prices
    return cache


app = FastAPI(lifespan=lifespan)
app.mount("/metrics", make_asgi_app())
instrument.prometheus()


@app.get("/prices/{item}")
async def price(item: str, response: Response, prices: Annotated[Cache[str, int], Depends(prices)]) -> dict[str, int]:
    """One price, and in the headers how it was got."""
    try:
        looked_up = await prices.lookup(item)
    except NoSuchItem:
        raise HTTPException(404) from None
    response.headers.update(looked_up.headers("prices"))
    return {item: looked_up.value}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")), log_level="warning")
