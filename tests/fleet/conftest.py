"""One server for all tests that leave it as it is, and one for each that does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from herdless.stores import MemoryStore
from tests.fleet.fleet import Fleet
from tests.fleet.loads import Loads
from tests.fleet.origin import Origin
from tests.fleet.postgres import Postgres
from tests.fleet.postgres import running as running_postgres
from tests.fleet.server import Server, running


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    """A server that nobody stops."""
    with running() as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The same, empty."""
    with shared_server.client() as client:
        client.flushall()
    return shared_server


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server of the test's own, which it may kill."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that nobody stops."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """One of the test's own, which it may kill."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_fleet(shared_postgres: Postgres, origin: Origin) -> Iterator[Fleet]:
    """Processes on the shared PostgreSQL."""
    with closing(Fleet(shared_postgres, origin)) as fleet:
        yield fleet


@pytest.fixture
def own_postgres_fleet(own_postgres: Postgres, origin: Origin) -> Iterator[Fleet]:
    """Processes on one that may be killed."""
    with closing(Fleet(own_postgres, origin)) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def origin_server() -> Iterator[Server]:
    """Where the truth is."""
    with running() as server:
        yield server


@pytest.fixture
def origin(origin_server: Server) -> Iterator[Origin]:
    """What the loaders ask, without a past."""
    with origin_server.client() as client:
        client.flushall()
    origin = Origin(origin_server.url)
    yield origin
    origin.close()


@pytest.fixture
def fleet(server: Server, origin: Origin) -> Iterator[Fleet]:
    """Processes on the shared server."""
    with closing(Fleet(server, origin)) as fleet:
        yield fleet


@pytest.fixture
def own_fleet(own_server: Server, origin: Origin) -> Iterator[Fleet]:
    """Processes on a server that may be killed."""
    with closing(Fleet(own_server, origin)) as fleet:
        yield fleet


@pytest.fixture(params=["asyncio", "threads", "trio"])
def colour(request: pytest.FixtureRequest) -> str:
    """All of them."""
    return str(request.param)


@pytest.fixture
def store() -> MemoryStore:
    """Empty."""
    return MemoryStore()


@pytest.fixture
def loads() -> Iterator[Loads]:
    """Let go at the end, whatever happens."""
    loads = Loads()
    yield loads
    loads.gate.set()
