"""gunicorn with --preload and threads: the module's caches are made, and used, before the workers are forked."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.frameworks.processes import ROOT, free_port, started, until_it_answers


class Shop(NamedTuple):
    """gunicorn, with two workers."""

    port: int
    parent: int
    log: Path

    def get(self, path: str) -> dict[str, Any]:
        """The answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def herd(self, path: str, number: int = 40) -> list[dict[str, Any]]:
        """The answers to so many at once."""
        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(lambda _: self.get(path), range(number)))

    def loads(self, item: str) -> Counter[int]:
        """How often each process has loaded it."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return Counter(int(pid) for pid, name in (line.split() for line in lines) if name == item)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One server for all tests here: each asks for items of its own."""
    folder, port = tmp_path_factory.mktemp("gunicorn"), free_port()
    command = [sys.executable, "-m", "gunicorn", "tests.frameworks.flask_preloaded:app", "--preload"]
    command += ["--worker-class", "gthread", "--workers", "2", "--threads", "8", "--bind", f"127.0.0.1:{port}"]
    environment = {"LOADS": str(folder / "loads"), "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    with started(command, folder, environment) as process:
        until_it_answers(process, port, folder)
        yield Shop(port, process.pid, folder / "loads")


pytestmark = pytest.mark.needs("gunicorn", "flask")


def test_each_worker_loads_a_key_once(shop: Shop) -> None:
    """Forty requests at once are a load in each worker that got any of them."""
    answers = shop.herd("/prices/tea")
    assert {answer["price"] for answer in answers} == {3}
    assert shop.loads("tea") == Counter({answer["pid"] for answer in answers})
    assert shop.parent not in shop.loads("tea")


def test_what_was_loaded_before_the_fork_is_there(shop: Shop) -> None:
    """Warmed once, and not by each worker."""
    assert {answer["price"] for answer in shop.herd("/prices/primed")} == {6}
    assert shop.loads("primed") == {shop.parent: 2}


def test_load_in_the_air_at_the_fork_is_the_parents_alone(shop: Shop) -> None:
    """In a worker nobody runs it: whoever waited for it would wait for ever."""
    answers = shop.herd("/prices/hanging")
    assert {answer["price"] for answer in answers} == {7}
    workers = Counter({answer["pid"] for answer in answers})
    assert shop.loads("hanging") == workers + Counter([shop.parent])


def test_refresh_runs_in_a_worker(shop: Shop) -> None:
    """Though the thread that ran refreshes in the parent was not forked."""
    answer = shop.get("/refreshed/milk")
    assert answer["price"] == 4
    assert shop.loads("milk") == {answer["pid"]: 1}
    again = shop.get("/refreshed/milk")
    assert shop.loads("milk")[again["pid"]] == 1 + (again["pid"] == answer["pid"])
