"""The calls that reached a decorated function."""

from __future__ import annotations

import pytest

from tests.runtimes.decorated import Log


@pytest.fixture
def log() -> Log:
    """The calls that were not answered by the cache."""
    return Log()
