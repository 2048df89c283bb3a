"""What gunicorn imports before it forks: a cache that has a value, threads of its own, and a load in the air."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from flask import Flask, Response, jsonify

from herdless.threads import Cache

LOADS = Path(os.environ["LOADS"])
PARENT = os.getpid()

app = Flask(__name__)
hangs = threading.Event()


def load(item: str) -> int:
    """Note who loads what. In the parent, one load has no end."""
    with LOADS.open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {item}\n")
    if item == "hanging" and os.getpid() == PARENT:
        hangs.set()
        threading.Event().wait()
    return len(item)


prices = Cache(load, ttl=600, around_load=app.app_context)
prices.get("primed")
prices.refresh("primed")  # by a thread that is not there after the fork
prices.settled()
threading.Thread(target=prices.get, args=("hanging",), daemon=True).start()
hangs.wait()


@app.get("/prices/<item>")
def price(item: str) -> Response:
    """The price, and who tells it."""
    return jsonify(price=prices.get(item), pid=os.getpid())


@app.get("/refreshed/<item>")
def refreshed(item: str) -> Response:
    """The price when a refresh in the background has ended."""
    prices.refresh(item)
    prices.settled()
    return jsonify(price=prices.get(item), pid=os.getpid())
