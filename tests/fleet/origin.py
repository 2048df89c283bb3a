"""What the loaders of all processes ask: it counts, and holds loads up as a test says. It is on a server of its own."""

from __future__ import annotations

import random
import time
from typing import Any, Final

from tests.fleet.server import PATIENCE


class Origin:
    """The truth of each key, on a server that no test stops."""

    def __init__(self, url: str) -> None:
        import redis

        self.url: Final = url
        self._client: Final[Any] = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=2 * PATIENCE, max_connections=1_000
        )

    # The loader's side

    def load(self, key: object) -> str:
        """The truth of the moment at which the load begins; or an error, if that is the truth."""
        truth = self._client.get(f"truth:{key}") or f"{key} 1"
        self._client.incr(f"loads:{key}")
        if self._client.exists(f"held:{key}"):
            assert self._client.blpop([f"go:{key}"], timeout=PATIENCE) is not None, "nobody let it go"
        time.sleep(random.random() * float(self._client.get("slow") or 0))
        if truth.startswith("error:"):
            raise LookupError(truth)
        if truth.startswith("large:"):
            return "x" * int(truth.removeprefix("large:"))
        return str(truth)

    # The test's side

    def set(self, key: object, truth: str) -> None:
        """Loads that begin from now on give this."""
        self._client.set(f"truth:{key}", truth)

    def slow_down(self, seconds: float) -> None:
        """Loads that begin from now on take up to so long, between the truth and its arrival."""
        self._client.set("slow", str(seconds))

    def hold(self, key: object) -> None:
        """Loads that begin from now on wait."""
        self._client.set(f"held:{key}", "1")

    def let_go(self, key: object, loads: int = 1) -> None:
        """So many of those that wait go on; those that begin later do not wait."""
        self._client.delete(f"held:{key}")
        self._client.rpush(f"go:{key}", *["go"] * loads)

    def loads(self, key: object) -> int:
        """How many have begun."""
        return int(self._client.get(f"loads:{key}") or 0)

    def wait_for(self, key: object, loads: int) -> None:
        """Until so many have begun."""
        ends_at = time.monotonic() + PATIENCE
        while self.loads(key) < loads:
            assert time.monotonic() < ends_at, f"there were only {self.loads(key)} loads of {key}"
            time.sleep(0.005)

    def close(self) -> None:
        """The end of the test."""
        self._client.close()
