"""A shop's prices, from SQLite, through a cache: a line with an item is answered by a line with its price.

`python app.py` serves them on port 8000, or on $PORT.
"""

import os
import sqlite3
from functools import partial
from pathlib import Path

import trio

from herdless.trio import Cache

DATABASE = Path(os.environ.get("DATABASE", "shop.sqlite"))


def query(item: str) -> int | None:
    """Ask the database."""
    with sqlite3.connect(DATABASE) as database:
        database.execute("INSERT INTO queries (item) VALUES (?)", (item,))  # so that the herd can be counted
        row = database.execute("SELECT price FROM prices WHERE item = ?", (item,)).fetchone()
    database.close()
    return None if row is None else int(row[0])


async def load(item: str) -> int | None:
    """The loader: blocking work belongs on a thread."""
    return await trio.to_thread.run_sync(query, item)


async def serve(prices: Cache[str, int | None], stream: trio.SocketStream) -> None:
    """One connection. Whoever hangs up takes nobody's load along."""
    received = b""
    async with stream:
        async for part in stream:
            received += part
            *lines, received = received.split(b"\n")
            for line in lines:
                found = await prices.lookup(line.decode(errors="replace"))
                await stream.send_all(f"{found.value} {found.how}\n".encode())


async def main() -> None:
    """The cache is open around the service: its loads run in a nursery of its own."""
    with sqlite3.connect(DATABASE) as database:
        database.execute("CREATE TABLE IF NOT EXISTS prices (item TEXT PRIMARY KEY, price INTEGER)")
        database.execute("CREATE TABLE IF NOT EXISTS queries (item TEXT)")
        database.executemany("INSERT OR REPLACE INTO prices VALUES (?, ?)", [("tea", 3), ("coffee", 4)])
    database.close()
    async with Cache(load, ttl=60, early_refresh=0.8, stale_if_error=3600, load_timeout=5, name="prices") as prices:
        await trio.serve_tcp(partial(serve, prices), int(os.environ.get("PORT", "8000")), host="127.0.0.1")


if __name__ == "__main__":
    trio.run(main)
