"""What must be true of the holdings of a store: one for each value, and their weights add up."""

from __future__ import annotations

from typing import Any

from herdless_core import Keyspace
from tests.core._keys import check_store


def check_holdings(cache: Keyspace[Any], inconsistent: type | None = None) -> None:
    """Every value in the tables has one holding, which has its value; nothing else has; the total is theirs."""
    store = cache._store
    check_store(store, inconsistent)
    holdings = store.holdings
    assert holdings is not None
    values: dict[Any, Any] = {key: entry for key, entry in {**store.cold, **store.hot}.items() if entry.holds_value}
    assert set(holdings.held) == set(values)
    for key, holding in holdings.held.items():
        assert holding.value is values[key].value
    assert holdings.weight == sum(holding.weight for holding in holdings.held.values())
    assert cache.stats().weight == (0 if holdings.maxweight is None else holdings.weight)
    assert holdings.maxweight is None or cache.stats().weight <= holdings.maxweight
    assert store._spared is None
