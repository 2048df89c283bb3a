"""TLC, where it is installed; and its runs, made once for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from specs.configurations import Run, load_runs
from specs.graph import Steps, specified
from specs.tlc import PROCESSES
from specs.toolbox import ToolMissing, find_jar, find_java

RUNS: Mapping[str, Run] = load_runs()


@pytest.fixture(scope="session")
def tlc() -> None:
    """Skips where a tool is missing, which is named; with HERDLESS_NO_SKIP=1 that is a failure."""
    try:
        find_java()
        find_jar()
    except ToolMissing as missing:
        if os.environ.get("HERDLESS_NO_SKIP") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def graphs(tlc: None) -> Iterator[Mapping[str, Future[Steps]]]:
    """The graph of every small run, two of them being made at a time."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {run.name: pool.submit(specified, run) for run in RUNS.values() if run.graph and not run.slow}
