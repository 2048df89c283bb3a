"""The runs of TLC that have a graph, each made once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import pytest

from herdless_verify.tlc.check import PROCESSES
from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.graph import Steps, specified

RUNS: Mapping[str, Run] = load_runs()

T = TypeVar("T")


class Made(Mapping[str, Future[T]], Generic[T]):
    """What is made of each run: of those that are wanted at once, two at a time, of others when it is asked for."""

    def __init__(
        self, pool: ThreadPoolExecutor, make: Callable[[Run], T], runs: Iterable[Run], wanted: Iterable[str]
    ) -> None:
        self._pool = pool
        self._make = make
        self._runs = {run.name: run for run in runs}
        self._made = {name: pool.submit(make, run) for name, run in self._runs.items() if name in set(wanted)}

    def __getitem__(self, name: str) -> Future[T]:
        if name not in self._made:
            self._made[name] = self._pool.submit(self._make, self._runs[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)


@pytest.fixture(scope="session")
def graphs(tlc: None, request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Steps]]]:
    """The graph of every small run; those are made at once that the tests of this session are about."""
    about = (item.callspec.params.get("run") for item in request.session.items if hasattr(item, "callspec"))
    wanted = [run.name for run in about if isinstance(run, Run)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        small = [run for run in RUNS.values() if run.graph and not run.slow]
        yield Made(pool, specified, small, wanted)
