"""A shop's prices, from SQLite, through a cache. `python app.py` serves them on port 8000, or on $PORT."""

import os
import sqlite3
from pathlib import Path

from flask import Flask, Response, current_app, jsonify

from herdless.threads import Cache

app = Flask("shop")
app.config["DATABASE"] = Path(os.environ.get("DATABASE", "shop.sqlite"))


def load(item: str) -> int | None:
    """The loader. It needs the application, and not a request: `around_load` gives it one on every thread."""
    with sqlite3.connect(current_app.config["DATABASE"]) as database:
        database.execute("INSERT INTO queries (item) VALUES (?)", (item,))  # so that the herd can be counted
        row = database.execute("SELECT price FROM prices WHERE item = ?", (item,)).fetchone()
    database.close()
    return None if row is None else int(row[0])


# Made when the module is imported: a server that forks its workers afterwards gives each of them a cache that works.
prices = Cache(load, ttl=60, early_refresh=0.8, stale_if_error=3600, around_load=app.app_context, name="prices")


@app.get("/prices/<item>")
def price(item: str) -> Response | tuple[Response, int]:
    """One price, and in the headers how it was got."""
    looked_up = prices.lookup(item)
    if looked_up.value is None:
        return jsonify(error="no such item"), 404
    response = jsonify({item: looked_up.value})
    response.headers.update(looked_up.headers("prices"))
    return response


def prepare() -> None:
    """Fill the database."""
    with sqlite3.connect(app.config["DATABASE"]) as database:
        database.execute("CREATE TABLE IF NOT EXISTS prices (item TEXT PRIMARY KEY, price INTEGER)")
        database.execute("CREATE TABLE IF NOT EXISTS queries (item TEXT)")
        database.executemany("INSERT OR REPLACE INTO prices VALUES (?, ?)", [("tea", 3), ("coffee", 4)])
    database.close()


if __name__ == "__main__":
    prepare()
    app.run(port=int(os.environ.get("PORT", "8000")), threaded=True)
