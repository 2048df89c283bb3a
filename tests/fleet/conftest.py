"""One server for all tests that leave it as it is, and one for each that does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
