"""A Celery worker that forks its children: each has a cache of its own, which works."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.frameworks.processes import PATIENCE, ROOT, started

pytestmark = pytest.mark.needs("celery")


def test_children_of_a_worker_load_a_key_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was loaded before the fork is in each of them, and they load the rest for themselves."""
    monkeypatch.setenv("FOLDER", str(tmp_path))
    command = [sys.executable, "-m", "celery", "-A", "tests.frameworks.celery_forked", "worker"]
    command += ["--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle"]
    environment = {"FOLDER": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with started(command, tmp_path, environment, is_killed=True):  # asked to, it would take eight seconds
        from tests.frameworks.celery_forked import convert

        sent = [convert.delay("tea", "EUR") for _ in range(12)]
        done = [each.get(timeout=PATIENCE, interval=0.05) for each in sent]
    assert {tuple(values) for _, *values in done} == {(6 * 1.1, 3 * 1.1)}
    lines = [line.split() for line in (tmp_path / "loads").read_text(encoding="utf-8").splitlines()]
    loads = Counter((int(pid), item) for pid, item in lines)
    children = {pid for pid, *_ in done}
    for pid in children:
        assert (loads[pid, "tea"], loads[pid, "EUR"], loads[pid, "primed"]) == (1, 1, 0)
