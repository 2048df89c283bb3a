"""One workerd for all tests, the origin that its objects load from, and names that no two tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from tests.durable_objects.build import Build, build
from tests.durable_objects.herd import Edge, assert_right
from tests.durable_objects.origin import Origin
from tests.durable_objects.packages import Runtime, Unavailable, installed
from tests.durable_objects.workerd import start

_NUMBERS: Final = count(1)


def runtime_or_reason() -> Runtime:
    """workerd, Pyodide and the SDK. Where they cannot be had the test is skipped, with the reason; in CI it fails."""
    try:
        return installed()
    except Unavailable as unavailable:
        if os.environ.get("HERDLESS_NO_SKIP") == "1":
            pytest.fail(f"HERDLESS_NO_SKIP=1 and {unavailable}")
        pytest.skip(str(unavailable))


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """workerd, Pyodide and the SDK."""
    return runtime_or_reason()


@pytest.fixture(scope="session")
def objects(runtime: Runtime) -> Build:
    """What workerd serves: the adapter as it is now, and the tests' objects."""
    return build(runtime)


@pytest.fixture(scope="session")
def server() -> Iterator[Origin]:
    """The origin that the objects load from."""
    with Origin() as server:
        yield server


@pytest.fixture(scope="session")
def _shared(
    runtime: Runtime, objects: Build, server: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    with start(runtime, objects, tmp_path_factory.mktemp("edge") / "disk", server.port) as workerd:
        edge = Edge(workerd, server)
        yield edge
        assert_right(edge.trace())  # of all tests: whatever they looked at, every step was right


@pytest.fixture
def edge(_shared: Edge) -> Edge:
    """The workerd that the tests share: its objects are there as long as nothing ends them."""
    return _shared


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key of the test's own."""
    return f"{request.node.originalname}-{next(_NUMBERS)}"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Durable storage for a test that starts workerd itself."""
    return tmp_path / "disk"
