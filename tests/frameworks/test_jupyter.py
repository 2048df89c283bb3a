"""A notebook: its cells await a cache in the kernel's own event loop, which goes on between them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.processes import PATIENCE, ROOT

pytestmark = pytest.mark.needs("ipykernel")

FIRST = """
import asyncio
import herdless.asyncio, herdless.threads

loads = []
gate = asyncio.Event()

async def load(key):
    loads.append(key)
    print("loading", key)
    while not gate.is_set():
        await asyncio.sleep(0.05)  # the kernel notices the button only when its event loop does anything
    return key.upper()

cache = herdless.asyncio.Cache(load, ttl=600)
"""


class Notebook:
    """A kernel, and what its cells say."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self.client = client

    def run(self, cell: str, interrupted_at: str | None = None) -> str:
        """What the cell prints and shows, or by which error it ends. interrupted_at: the button is pressed when this
        is printed.
        """
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                said.append(content["text"])
                if interrupted_at is not None and interrupted_at in content["text"]:
                    self.manager.interrupt_kernel()
            elif message["msg_type"] == "execute_result":
                said.append(content["data"]["text/plain"])
            elif message["msg_type"] == "error":
                said.append(content["ename"])

        self.client.execute_interactive(cell, timeout=PATIENCE, output_hook=hear)
        return "".join(said)


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A real kernel, in a process of its own."""
    from jupyter_client.manager import KernelManager

    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_cells_share_a_cache(notebook: Notebook) -> None:
    """A load that one cell began is joined by the next; and when a cell is interrupted, the key is free."""
    assert notebook.run(FIRST) == ""
    assert notebook.run("task = asyncio.create_task(cache.get('a')); await asyncio.sleep(0)") == "loading a\n"
    assert notebook.run("gate.set(); await cache.get('a'), await task, loads") == "('A', 'A', ['a'])"
    assert notebook.run("(await cache.lookup('a')).how") == "'hit'"
    interrupted = notebook.run("gate.clear(); await cache.get('b')", interrupted_at="loading b")
    assert interrupted in {"loading b\nKeyboardInterrupt", "loading b\nCancelledError"}
    assert notebook.run("await cache.settled(); cache.stats().in_flight") == "0"
    assert notebook.run("gate.set(); await cache.get('b')") == "loading b\n'B'"
    assert notebook.run("herdless.threads.Cache(str.upper).get('c')") == "'C'"


SHELL = """
from IPython.core.async_helpers import get_asyncio_loop
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
def run(cell):
    shell.run_cell(cell).raise_error()

run('''
import asyncio
import herdless.asyncio
loads = []
async def load(key):
    loads.append(key)
    if loads == ['a', 'b']:
        await asyncio.Event().wait()
    return key.upper()
cache = herdless.asyncio.Cache(load, ttl=600)
''')
run("first = await cache.get('a'); cache.refresh('b'); await asyncio.sleep(0)")
get_asyncio_loop().close()  # it ends in the middle of a load; the next cell has another
run("values = [first, await cache.get('a'), await cache.get('b')]")
run("assert values == ['A', 'A', 'B'], values")
run("assert loads == ['a', 'b', 'b'], loads")
get_asyncio_loop().close()
"""


def test_cells_of_ipython_outlive_its_event_loop(tmp_path: Path) -> None:
    """What was loaded in one loop is there in the next, and a load that ended with its loop is made again."""
    script = tmp_path / "shell.py"
    script.write_text(SHELL, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
