"""docs/assets/figures.json: how many operations a lookup takes where, counted, for the page docs/how-to/choose.md.

Counted on the real code: what a shared cache asks of its store, and the statements of an object's storage. The loads
are those of the flash sale in docs/performance.md. No price is in it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, final

from herdless._durable.entry import DurableEntry
from herdless._durable.storage import EntryStorage
from herdless.stores import MemoryStore, Store, SyncConnection
from herdless.threads import SharedCache
from herdless_core import NANOSECONDS_PER_SECOND, Policy, StartLoad
from tests.benchmarks import archive
from tests.benchmarks.shop import BARE, SWR
from tests.benchmarks.visitors import REQUESTS_PER_SECOND
from tests.durable_objects.disk import Disk

TARGET: Final = Path(__file__).parents[1] / "assets" / "figures.json"

OPERATIONS: Final = ("read", "swap", "forget", "renew", "mark")
"""What is asked of a store about one key: each is one command, or one script, of Redis."""

SALE_SECONDS: Final = 10
NOW: Final = 1_800_000_000 * NANOSECONDS_PER_SECOND


def pages() -> Mapping[Path, str]:
    """The file."""
    figures = {"sale": sale(), "fleet": fleet(), "object": durable()}
    return {TARGET: json.dumps(figures, indent=2) + "\n"}


def sale() -> Mapping[str, int]:
    """Requests and loads of the flash sale, as its figures were kept."""
    rows = archive.load()["sale"]["tables"][0]["rows"]
    loads = {name: int(count) for name, count, *_ in rows}
    return {
        "requests": REQUESTS_PER_SECOND * SALE_SECONDS,
        "without": loads[BARE],
        "plain": loads["herdless"],
        "stale": loads[SWR],
    }


@final
class _Counting(Store):
    """Counts what is asked of the store behind it."""

    def __init__(self) -> None:
        self._behind: Final = MemoryStore()
        self.asked: Final[Counter[str]] = Counter()

    def connect(self) -> SyncConnection:
        connection = self._behind.connect()
        for name in OPERATIONS:
            setattr(connection, name, self._counted(name, getattr(connection, name)))
        return connection

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.asked[name] += 1
            return method(*args, **options)

        return call


def fleet() -> Mapping[str, int]:
    """Operations of the store for each kind of lookup, and for an invalidation."""
    store = _Counting()
    policy = Policy(ttl=3600)
    with (
        SharedCache(str.upper, policy=policy, store=store) as here,
        SharedCache(str.upper, policy=policy, store=store) as there,
    ):
        steps: Mapping[str, Callable[[], object]] = {
            "load": lambda: here.get("key"),
            "hit": lambda: here.get("key"),
            "fetch": lambda: there.get("key"),
            "invalidate": lambda: here.invalidate("key"),
        }
        return {name: _count(store, step) for name, step in steps.items()}


def _count(store: _Counting, step: Callable[[], object]) -> int:
    before = store.asked.total()
    step()
    return store.asked.total() - before


def durable() -> Mapping[str, int]:
    """Rows that an object writes, and times that it sets its alarm, for each kind of lookup."""
    disk = Disk()
    touched: list[str] = []

    def note(_touch: int, what: str) -> bool:
        touched.append(what)
        return False

    disk.fails = note
    entry = DurableEntry(EntryStorage(disk), "key", Policy(ttl=3600), NOW)
    (generation,) = (effect.generation for effect in entry.get(NOW) if isinstance(effect, StartLoad))
    entry.load_succeeded(generation, '"value"', NOW)
    load = _writes(touched)
    touched.clear()
    entry.hit(NOW)
    hit = _writes(touched)
    touched.clear()
    entry.invalidate(NOW)
    return {"load": load, "hit": hit, "invalidate": _writes(touched)}


def _writes(touched: list[str]) -> int:
    return sum(what.startswith(("INSERT", "DELETE", "setAlarm", "deleteAlarm", "deleteAll")) for what in touched)
