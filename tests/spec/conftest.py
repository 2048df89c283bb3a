"""The runs of TLC that have a graph, made once for all tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from herdless_verify.tlc.check import PROCESSES
from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.graph import Steps, specified

RUNS: Mapping[str, Run] = load_runs()


@pytest.fixture(scope="session")
def graphs(tlc: None) -> Iterator[Mapping[str, Future[Steps]]]:
    """The graph of every small run, two of them being made at a time."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {run.name: pool.submit(specified, run) for run in RUNS.values() if run.graph and not run.slow}
