"""The server of a fleet: the user's, or a Valkey of PyPI that is started on loopback for as long as it is needed."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final
from urllib.parse import urlsplit

from herdless._command._errors import CommandError
from herdless._command.herd.fleet import StoreMissing, started_server

INSTALL: Final = "pip install 'herdless[fleet]'"
ANSWERS_IN: Final = 30.0
"""Seconds."""


@final
@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is."""

    url: str
    host: str
    port: int

    def by_way_of(self, port: int) -> str:
        """The same database, with the same user, through a proxy at this port of loopback."""
        parts = urlsplit(self.url)
        before, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{before}{at}127.0.0.1:{port}").geturl()


@contextlib.contextmanager
def serving(url: str | None) -> Iterator[Address]:
    """The server of this URL; without one, a server of our own.

    Raises CommandError where what is needed is not installed, the URL is of another kind, or nobody answers there.
    """
    with contextlib.ExitStack() as stack:
        if url is None:
            try:
                url = stack.enter_context(started_server())
            except StoreMissing as missing:
                raise CommandError(f"--fleet needs a server: {missing}") from missing
        elif importlib.util.find_spec("redis") is None:
            raise CommandError(f"--store needs redis, which is not installed: {INSTALL}")
        address = _address(url)
        _require_answer(address)
        yield address


def client(address: Address) -> Any:
    """A client of redis-py."""
    import redis

    return redis.Redis.from_url(address.url, socket_timeout=ANSWERS_IN, socket_connect_timeout=ANSWERS_IN)


def _address(url: str) -> Address:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 6379
    except ValueError:
        host, port = None, 0
    if host is None or parts.scheme != "redis":
        # Not what it is: a password may be in it.
        raise CommandError(
            "--store is not accepted: give redis://HOST:PORT, without TLS, as a proxy has to lie between"
        )
    return Address(url, host, port)


def _require_answer(address: Address) -> None:
    import redis

    try:
        with client(address) as asking:
            asking.ping()
    except (redis.RedisError, OSError) as error:
        raise CommandError(f"the store does not answer: {type(error).__name__}") from error
