"""The processes of a fleet, and what is done to them: kill -9, SIGSTOP and SIGCONT, connections silenced and cut."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, assert_never, final

from herdless_verify.soak.fleet.judge import Bound, Written
from herdless_verify.soak.fleet.proxy import Proxy
from herdless_verify.soak.fleet.server import Address, client
from herdless_verify.soak.fleet.truth import KEYS, Truth

PATIENCE: Final = 60.0
"""Seconds after which something hangs that has nothing to wait for."""
STORE_TIMEOUT: Final = 0.3
LEASE: Final = 0.5
STALENESS: Final = 0.5
LASTS: Final = 1.2
"""Seconds for which a process is stopped or silenced: longer than the lease, and than the staleness."""
PAUSE: Final = 0.03
TO_OTHERS: Final = 0.8
"""So many of the changes that a process in trouble would have made are made by one that is not."""
COLOURS: Final = ("asyncio", "threads", "asyncio", "threads")

Kind: TypeAlias = Literal["change", "record forgotten", "connections cut", "connections silenced", "stopped", "killed"]

KINDS: Final[Mapping[Kind, int]] = {
    "change": 60,
    "record forgotten": 6,
    "connections cut": 3,
    "connections silenced": 3,
    "stopped": 3,
    "killed": 2,
}
"""What is done, and with which weight."""


@final
@dataclass(frozen=True, slots=True)
class Setting:
    """What holds for all processes of a run."""

    address: Address
    name: str
    folder: Path
    policy: dict[str, Any]
    prepare: str
    """`module:function`, called in each process before it begins; or nothing. For processes broken on purpose."""
    kinds: Mapping[Kind, int] = field(default_factory=lambda: KINDS)
    colours: Sequence[str] = COLOURS


@final
class Worker:
    """One process, by way of a proxy of its own; see `worker`."""

    def __init__(self, setting: Setting, name: str, colour: str, luck: random.Random) -> None:
        self.name: Final = name
        self.proxy: Final = Proxy(setting.address.port, setting.address.host)
        self.diary: Final = setting.folder / f"{name}.jsonl"
        self.diary.touch()  # it may be killed before it writes anything
        self.loads_alone: Final = luck.random() < 0.5
        self.was_killed = self._is_closed = False
        options = {"lease": LEASE, "staleness": STALENESS, "store_down": "load" if self.loads_alone else "raise"}
        config = {
            "colour": colour,
            "store": setting.address.by_way_of(self.proxy.port),
            "name": setting.name,
            "timeout": STORE_TIMEOUT,
            "options": setting.policy | options,
            "truth": str(setting.folder / "truth"),
            "diary": str(self.diary),
            "seed": luck.getrandbits(32),
            "prepare": setting.prepare,
        }
        self._ids: Final = itertools.count()
        self._waiting: Final[dict[int, Future[dict[str, Any]]]] = {}
        self._ready, self._over = threading.Event(), threading.Event()
        self._process: Final = subprocess.Popen(  # noqa: S603  # the command is made here
            [sys.executable, "-m", "herdless_verify.soak.fleet.worker", json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # an interrupt is the parent's business
        )
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def has_begun(self) -> bool:
        """Whether it listens, and its callers ask; or it has ended."""
        return self._ready.wait(PATIENCE) and self._process.poll() is None

    def order(self, do: str, *args: object) -> Future[dict[str, Any]]:
        """Give an order; what comes of it later."""
        future: Future[dict[str, Any]] = Future()
        number = next(self._ids)
        self._waiting[number] = future
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(OSError):
                stdin.write(json.dumps({"id": number, "do": do, "args": args}) + "\n")
                stdin.flush()
        return future

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Kill -9, and nothing more is heard of it."""
        self.was_killed = True
        self.close()

    def stop(self) -> str:
        """Let its callers come to their end; what was wrong with that."""
        self.order("stop")
        is_over = self._over.wait(PATIENCE)
        if not is_over:
            return f"{self.name} did not come to its end"
        code = self._process.wait(PATIENCE)
        return f"{self.name} ended with exit code {code}" if code else ""

    def close(self) -> None:
        """The end, for whatever state it is in."""
        if self._is_closed:
            return
        self._is_closed = True
        self._process.kill()
        self._process.wait()
        self.proxy.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()

    def written(self) -> Written:
        """What it leaves to the judge."""
        return Written(self.name, self.diary, self.was_killed, self.loads_alone)

    def _read(self) -> None:
        stdout = self._process.stdout
        if stdout is None:
            return
        with contextlib.suppress(ValueError, OSError):  # the pipe was closed
            for line in stdout:
                if line == "ready\n":
                    self._ready.set()
                elif line == "over\n":
                    break
                else:
                    said = json.loads(line)
                    self._waiting.pop(said["id"]).set_result(said)
        self._ready.set()
        self._over.set()


@final
class Storm:
    """Changes and faults in an order by luck, one at a time; then the calm."""

    def __init__(self, setting: Setting, luck: random.Random) -> None:
        self._setting: Final = setting
        self._luck: Final = luck
        self._names: Final = itertools.count(1)
        self._later: Final[list[tuple[float, Callable[[], None]]]] = []
        """What undoes a fault, and when."""
        self._changes: Final[list[tuple[str, Worker, int, Future[dict[str, Any]]]]] = []
        self._troubled: Final[set[Worker]] = set()
        self.truth: Final = Truth(setting.folder / "truth")
        self.faults: Final[Counter[str]] = Counter()
        self.complaints: Final[list[str]] = []
        self.all: Final[list[Worker]] = []
        self.workers: Final = [self._start(colour) for colour in setting.colours]
        self._client: Final = client(setting.address)

    def rage(self, seconds: float, tick: Callable[[float], None]) -> None:
        """Do all kinds of things for so long; tick: is told how many seconds have passed."""
        for worker in self.workers:
            self._require_begun(worker)
        began = time.monotonic()
        kinds = self._setting.kinds
        while (passed := time.monotonic() - began) < seconds and not self.complaints:
            tick(passed)
            (kind,) = self._luck.choices(list(kinds), list(kinds.values()))
            self._do(kind)
            self._undo(time.monotonic())
            time.sleep(PAUSE)

    def calm(self) -> None:
        """Nothing goes wrong any more: all processes must come to say what is true, and to their end."""
        self._undo(float("inf"))
        for _, worker, _, future in self._changes:
            if not worker.was_killed:
                self._result(worker, future)
        time.sleep(STALENESS)  # what was held up by a proxy has arrived
        for key in KEYS:
            self._change_for_good(key)
        time.sleep(STALENESS)
        asked = [(worker, key, worker.order("get", key)) for worker in self.workers for key in KEYS]
        for worker, key, future in asked:
            said = self._result(worker, future)
            if said.get("value", self.truth[key]) != self.truth[key]:
                self.complaints.append(f"{worker.name}: in the calm {key} is {said}, and {self.truth[key]} is true")
        self.complaints.extend(filter(None, [worker.stop() for worker in self.workers]))

    def bounds(self) -> list[Bound]:
        """What was owed to whom from when on: the changes that are known to be done."""
        ends = [(change, change[3].result()) for change in self._changes if change[3].done()]
        return [Bound(key, worker.name, said["ended"], v) for (key, worker, v, _), said in ends if "error" not in said]

    def unsure(self) -> set[tuple[str, int]]:
        """The puts of which nobody knows whether they are done, or when: keys and values."""
        return {
            (key, value) for key, _, value, future in self._changes if not future.done() or "error" in future.result()
        }

    def close(self) -> None:
        """The end, for whatever state it is in."""
        for worker in self.all:
            worker.close()
        with contextlib.suppress(Exception):
            found = list(self._client.scan_iter(f"{self._setting.name}:*"))
            if found:
                self._client.delete(*found)
            self._client.close()

    # What is done

    def _do(self, kind: Kind) -> None:
        match kind:
            case "change":
                self._change()
            case "record forgotten":
                self._forget()
            case "connections cut":
                self._luck.choice(self.workers).proxy.sever()
            case "connections silenced":
                self._trouble(lambda worker: worker.proxy.cut(), lambda worker: worker.proxy.mend())
            case "stopped":
                self._trouble(lambda w: w.signal(signal.SIGSTOP), lambda w: w.signal(signal.SIGCONT))
            case "killed":
                self._kill()
            case _:
                assert_never(kind)
        self.faults[kind] += 1

    def _change(self) -> None:
        key, worker = self._luck.choice(KEYS), self._luck.choice(self.workers)
        if worker in self._troubled and self._luck.random() < TO_OTHERS:
            worker = self._luck.choice([each for each in self.workers if each not in self._troubled])
        do = self._luck.choice(["invalidate", "invalidate", "put", "expire"])
        if do == "expire":
            worker.order("expire", key)
        elif not any(each[0] == key and not each[3].done() and not each[1].was_killed for each in self._changes):
            # One at a time for each key: of two at once nobody could say which is the later.
            self._change_by(worker, do, key)

    def _change_by(self, worker: Worker, do: str, key: str) -> Future[dict[str, Any]]:
        number = self.truth[key] + 1
        self.truth[key] = number
        future = worker.order(do, key, *([number] if do == "put" else []))
        self._changes.append((key, worker, number, future))
        return future

    def _change_for_good(self, key: str) -> None:
        ends_at = time.monotonic() + PATIENCE
        while time.monotonic() < ends_at:
            worker = self._luck.choice(self.workers)
            if "error" not in self._result(worker, self._change_by(worker, "invalidate", key)):
                return
            time.sleep(PAUSE)
        self.complaints.append(f"in the calm {key} could not be invalidated")

    def _forget(self) -> None:
        """The store lets go of a record, as it may at any time."""
        self._client.delete(f"{self._setting.name}:{self._luck.choice(KEYS)}")

    def _trouble(self, do: Callable[[Worker], None], undo: Callable[[Worker], None]) -> None:
        """Two processes at a time at the most."""
        calm = [worker for worker in self.workers if worker not in self._troubled]
        if len(calm) <= len(self.workers) - 2:
            return
        worker = self._luck.choice(calm)
        self._troubled.add(worker)
        do(worker)

        def end() -> None:
            undo(worker)
            self._troubled.discard(worker)

        self._later.append((time.monotonic() + LASTS, end))

    def _kill(self) -> None:
        place = self._luck.randrange(len(self.workers))
        self.workers[place].kill()
        self.workers[place] = self._start(self._luck.choice(COLOURS))

    # Processes

    def _start(self, colour: str) -> Worker:
        worker = Worker(self._setting, f"{next(self._names)}-{colour}", colour, self._luck)
        self.all.append(worker)
        return worker

    def _require_begun(self, worker: Worker) -> None:
        if not worker.has_begun:
            self.complaints.append(f"{worker.name} did not begin")

    def _result(self, worker: Worker, future: Future[dict[str, Any]]) -> dict[str, Any]:
        try:
            return future.result(PATIENCE)
        except TimeoutError:
            self.complaints.append(f"{worker.name} does not answer")
            return {"error": "nothing"}

    def _undo(self, now: float) -> None:
        for each in [each for each in self._later if each[0] <= now]:
            self._later.remove(each)
            each[1]()
