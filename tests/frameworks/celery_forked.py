"""What a Celery worker of the kind prefork imports before it forks, and after it was told to."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from herdless.threads import Cache, cached

FOLDER = Path(os.environ["FOLDER"])
LOADS = FOLDER / "loads"
for name in ("queue", "control", "results"):
    (FOLDER / name).mkdir(exist_ok=True)

app = Celery("shop", broker="filesystem://", backend=(FOLDER / "results").as_uri())
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(FOLDER / "queue"),
        "data_folder_out": str(FOLDER / "queue"),
        "control_folder": str(FOLDER / "control"),
        "polling_interval": 0.05,
    },
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


def note(item: str) -> None:
    """Who loads what."""
    with LOADS.open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {item}\n")


@cached(ttl=600, load_timeout=30)
def rate(currency: str) -> float:
    """By a thread of the cache's, since there is a timeout."""
    note(currency)
    return 1.1


def load(item: str) -> int:
    """By the task's own thread."""
    note(item)
    return len(item)


prices = Cache(load, ttl=600, early_refresh=0.8)
prices.get("primed")
rate("primed")


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def convert(item: str, currency: str) -> tuple[int, float, float]:
    """Who works, and what for."""
    return os.getpid(), prices.get("primed") * rate("primed"), prices.get(item) * rate(currency)
