"""What the tests of a cache's keys share: a load that ends at once, and what the store must be like."""

from __future__ import annotations

from typing import Any, Final

from herdless_core import NANOSECONDS_PER_SECOND, Join, Keyspace, reply_of
from herdless_core._store import SLACK_SHARE, STRICT, Store

SECOND: Final = NANOSECONDS_PER_SECOND


def load_at_once(cache: Keyspace[Any], key: Any, now: int = 0) -> object:
    """Look the key up and, at a miss, load it at once, as an adapter does."""
    flight = cache.enter(key, now)
    if flight is None:
        reply = reply_of(cache.get(key, now))
        if not isinstance(reply, Join):
            return reply
        flight = cache.flights[reply.generation]
    if cache.fill(flight, "value", now) is None:
        cache.load_succeeded(flight.generation, "value", now)
    return flight


def check_store(store: Store[Any], inconsistent: type | None = None) -> None:
    """The store counts what it holds, and mentions each of its keys that can go once."""
    entries = {**store.hot, **store.cold}
    assert store.size == sum(entry.holds_value for entry in entries.values())
    due = [key for key, entry in entries.items() if store._is_due(entry)]
    mentions = [key for line in store._lines for part in (line.passed, line.ahead) for key in part]
    assert set(due) <= set(mentions)
    assert store._voids == len(mentions) - len(due)
    assert store._voids <= (0 if len(due) <= STRICT else len(due) // SLACK_SHARE)
    assert store.inconsistent in {None, inconsistent}
