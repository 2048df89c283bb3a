"""Where the records of one name are, where that changes: behind Sentinel, and in a Cluster.

All keys and channels of one name are on ONE server at a time, in a Cluster by a hash tag. So everything that holds of
a single server holds here: what is told comes in its order, and before the answer to a later question. A connection
that is made anew asks where that server is now.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from herdless_core import PolicyError

KINDS: Final = {
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}

PORTS: Final = {"sentinel": 26379, "cluster": 6379}


@final
@dataclass(frozen=True, slots=True)
class Homes:
    """What the address says."""

    kind: str
    is_tls: bool
    nodes: tuple[tuple[str, int], ...]
    """Whom to ask."""
    service: str
    asking: dict[str, Any]
    """How to connect to those who are asked."""
    url: str
    """Of the server that is found, but for its host and port."""


def homes_of(url: str) -> Homes | None:
    """What such an address says; None of one of a single server. Raises PolicyError, without the address."""
    scheme, _, _ = url.partition("://")
    if scheme not in KINDS:
        return None
    kind, is_tls = KINDS[scheme]
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    words = [word for word in parts.path.split("/") if word]
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    own = {"username": query.pop("sentinel_username", None), "password": query.pop("sentinel_password", None)}
    try:
        nodes = tuple(_node(host, kind) for host in hosts.split(","))
    except ValueError:
        nodes = ()
    service = words.pop(0) if kind == "sentinel" and words else ""
    if not all(host for host, _ in nodes) or not nodes or (kind == "sentinel" and not service) or len(words) > 1:
        raise PolicyError(
            "url is not accepted: give redis+sentinel://host:port,host:port/service, with /database after it if need "
            "be, or redis+cluster://host:port,host:port"
        )
    name, _, password = user.partition(":")
    of_all = {"username": unquote(name) or None, "password": unquote(password) or None}
    found = f"redis://{user}{'@' if user else ''}found/{words[0] if words else 0}"
    return Homes(
        kind, is_tls, nodes, service, own if kind == "sentinel" else of_all, f"{found}?{urlencode(query)}".rstrip("?")
    )


def _node(host: str, kind: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "", parts.port or PORTS[kind]


def connection_class(homes: Homes, module: str, name: str, timeout: float) -> Any:
    """A class of the client's connections which ask where the server is before they connect.

    homes: whom to ask; module: of redis-py, of either colour; name: whose keys are looked for; timeout: in seconds.
    """
    client, errors = importlib.import_module(module), importlib.import_module("redis.exceptions")
    connections = importlib.import_module(f"{module}.connection")
    base: Any = connections.SSLConnection if homes.is_tls else connections.Connection
    retry = importlib.import_module(f"{module}.retry").Retry(importlib.import_module("redis.backoff").NoBackoff(), 0)
    question = _question(homes)

    def clients() -> Iterator[tuple[str, Any]]:
        for host, port in homes.nodes:
            asked = client.Redis(
                host=host,
                port=port,
                ssl=homes.is_tls,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=retry,
                **homes.asking,
            )
            yield host, asked

    def not_found() -> Exception:
        return errors.ConnectionError("nobody says where the server is")  # type: ignore[no-any-return]  # it is one

    def has_moved(error: BaseException) -> bool:
        return isinstance(error, errors.MovedError | errors.ReadOnlyError | errors.ClusterDownError)

    class Managed(base):  # type: ignore[misc]  # of whatever client
        """For threads."""

        def _connect(self) -> Any:
            self.host, self.port = self._find()
            return super()._connect()

        def _find(self) -> tuple[str, int]:
            for host, asked in clients():
                try:
                    found = _found(homes, name, host, asked.execute_command(*question))
                except (errors.RedisError, OSError):
                    continue
                finally:
                    asked.close()
                if found is not None:
                    return found
            raise not_found()

        def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return super().read_response(*args, **options)
            except errors.ResponseError as error:
                if not has_moved(error):
                    raise
                self.disconnect()
                raise errors.ConnectionError(str(error)) from error

    class ManagedAsync(base):  # type: ignore[misc]  # of whatever client
        """For asyncio."""

        async def _connect(self) -> Any:
            self.host, self.port = await self._find()
            return await super()._connect()

        async def _find(self) -> tuple[str, int]:
            for host, asked in clients():
                try:
                    found = _found(homes, name, host, await asked.execute_command(*question))
                except (errors.RedisError, OSError):
                    continue
                finally:
                    await asked.aclose()
                if found is not None:
                    return found
            raise not_found()

        async def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*args, **options)
            except errors.ResponseError as error:
                if not has_moved(error):
                    raise
                await self.disconnect()
                raise errors.ConnectionError(str(error)) from error

    return ManagedAsync if module.endswith("asyncio") else Managed


def _question(homes: Homes) -> tuple[str, ...]:
    if homes.kind == "cluster":
        return "CLUSTER", "SLOTS"
    return "SENTINEL", "GET-MASTER-ADDR-BY-NAME", homes.service


def _found(homes: Homes, name: str, asked: str, said: Any) -> tuple[str, int] | None:
    """Where the server is, by what was answered; asked: who has answered, which may mean itself."""
    if homes.kind == "sentinel":
        return (_text(said[0]), int(said[1])) if said else None
    slot = importlib.import_module("redis.crc").key_slot(name.encode())
    for first, last, primary, *_ in said:
        if first <= slot <= last:
            return _text(primary[0]) or asked, int(primary[1])
    return None


def _text(said: Any) -> str:
    return said.decode() if isinstance(said, bytes) else str(said or "")
