"""The stress command's rounds: right for the real adapters, and refused where a removal does nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from herdless.adapter import BaseCache
from herdless.testing import NotLinearizable
from tests.schedules.oracle import Oracle
from tests.schedules.stress import ROUNDS


@pytest.fixture(autouse=True)
def _switching_often() -> Iterator[None]:
    """As the command does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("runtime", ROUNDS)
def test_real_concurrency_is_linearizable(runtime: str) -> None:
    """Of what callers of one key saw, some order of lookups, loads, puts and invalidations makes sense."""
    assert sum(ROUNDS[runtime](seed) for seed in range(50)) > 50


@pytest.mark.parametrize("runtime", ROUNDS)
def test_history_of_a_forgotten_removal_is_refused(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    """By the search for an order alone: the model of what a caller may be told says nothing here."""
    monkeypatch.setattr(BaseCache, "invalidate", lambda *_: None)
    monkeypatch.setattr(Oracle, "_wrong_in_value", lambda *_: iter(()))
    with pytest.raises(NotLinearizable, match="invalidate"):
        sum(ROUNDS[runtime](seed) for seed in range(200))
