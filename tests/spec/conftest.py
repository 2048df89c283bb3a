"""The runs of TLC that have a graph, made once for all tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from specs.configurations import Run, load_runs
from specs.graph import Steps, specified
from specs.tlc import PROCESSES

RUNS: Mapping[str, Run] = load_runs()


@pytest.fixture(scope="session")
def graphs(tlc: None) -> Iterator[Mapping[str, Future[Steps]]]:
    """The graph of every small run, two of them being made at a time."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {run.name: pool.submit(specified, run) for run in RUNS.values() if run.graph and not run.slow}
