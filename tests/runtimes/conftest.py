"""The calls that reached a decorated function."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.runtimes.decorated import Log


@pytest.fixture
def log() -> Log:
    """The calls that were not answered by the cache."""
    return Log()


@pytest.fixture
def _log_breaks() -> Iterator[None]:
    """Whoever reads the log raises."""

    class Breaks(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            raise OSError("the log is broken")

    logger, handler = logging.getLogger("herdless"), Breaks()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
