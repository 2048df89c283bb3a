"""The objects that the tests talk to, and the Python front."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import count
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import contract_objects  # type: ignore[import-not-found]  # beside this file, as workerd sees it
import edge_objects  # type: ignore[import-not-found]  # docs/examples/edge/objects/main.py, as it is deployed
from workers import (  # type: ignore[import-not-found]  # a module of the runtime
    Response,
    WorkerEntrypoint,
)

from herdless import HerdlessError
from herdless.durable_objects import CacheClient, CacheObject, Loaded, Policy
from herdless.trace import TraceWriter
from herdless_core import Step

NANOSECONDS = 1_000_000_000

INSTANCES = count(1)

LINES: list[str] = []
"""The traces of all instances in this process, each under a name of its own. One that is reset leaves its behind."""

RECORDERS: list[TraceWriter] = []


def digest(body: str | bytes) -> str:
    """What stands for a value in a trace: the same in the next process."""
    return sha256(body if isinstance(body, bytes) else body.encode()).hexdigest()[:16]


class Tested(CacheObject):
    """Loads from the test's origin, and records its steps; its clock is the real one and what the test adds to it."""

    added = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        owner = f"{type(self).__name__} {ctx.id.name!r} {next(INSTANCES)}"
        self.recorder = TraceWriter(
            LINES.append, key=lambda _: owner.rpartition(" ")[0], value=digest, by=str, is_durable=True, owner=owner
        )
        super().__init__(ctx, env)
        RECORDERS.append(self.recorder)

    def observe(self, key: str, step: Step) -> None:
        """Record the step."""
        self.recorder(key, step)

    def clock(self) -> int:
        """Wall time, later by what was added."""
        return super().clock() + self.added

    async def ask_origin(self, path: str) -> Any:
        """The origin's answer, as it is."""
        return await self.env.ORIGIN.fetch(f"http://origin/{path}")

    async def load(self, key: str) -> Any:
        """The origin's JSON; LookupError with its text where it refuses."""
        response = await self.ask_origin(f"{type(self).__name__}/{key}")
        text = await response.text()
        if response.status != 200:
            raise LookupError(text)
        return json.loads(text)

    # What only a test may do

    async def trace(self) -> list[str]:
        """The traces so far. To be asked for when everybody was answered: what was saved is then known to be stored."""
        for recorder in RECORDERS:
            recorder.stored()
        return LINES

    async def advance(self, seconds: float) -> None:
        """Make it later."""
        self.added += int(seconds * NANOSECONDS)

    async def ring(self) -> None:
        """Deliver the alarm now."""
        await self.alarm()

    async def alarm_in(self) -> float | None:
        """In how many seconds the alarm goes off."""
        at = await self.ctx.storage.getAlarm()
        return None if at is None else at / 1000 - self.clock() / NANOSECONDS

    async def rows(self) -> int:
        """How many rows are stored, 0 without a table."""
        sql = self.ctx.storage._binding.sql
        tables = list(sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'herdless'").raw())
        return len(list(sql.exec("SELECT 1 FROM herdless").raw())) if tables else 0

    async def claim_elsewhere(self) -> None:
        """Do to the storage what a successor of this instance does when it invalidates."""
        sql = self.ctx.storage._binding.sql
        sql.exec("UPDATE herdless SET content = content + 1 WHERE part = 0")
        sql.exec("DELETE FROM herdless WHERE part = 1")

    async def garble(self) -> None:
        """Store what no version of herdless writes."""
        self.ctx.storage._binding.sql.exec("UPDATE herdless SET content = ? WHERE part = 1", '{"state": "odd"}')

    async def crash(self) -> None:
        """End this instance at once."""
        self.ctx.abort("a test wants it")


class Plain(Tested):
    """A minute, and nothing else."""

    policy = Policy(ttl=60)


class Negative(Tested):
    """Remembers errors."""

    policy = Policy(ttl=60, negative_ttl=30)


class Stale(Tested):
    """Serves stale values while it refreshes, and longer when that fails."""

    policy = Policy(ttl=10, stale_while_revalidate=100, stale_if_error=1000)


class Impatient(Tested):
    """Gives a load up after a quarter of a second."""

    policy = Policy(ttl=60, load_timeout=0.25)


class Crowded(Tested):
    """Lets two callers wait."""

    policy = Policy(ttl=60, max_waiters=2)


class Brief(Tested):
    """Keeps a value for a moment, and tells the origin of every alarm when all is done."""

    policy = Policy(ttl=0.2)

    async def alarm(self, info: object = None) -> None:
        """Tell how many rows are left."""
        await super().alarm(info)
        await self.ask_origin(f"alarm/{self.ctx.id.name}/{await self.rows()}")


class Redelivered(Brief):
    """Fails at its first alarm."""

    failed = False

    async def alarm(self, info: object = None) -> None:
        """Fail once, before anything is done."""
        if not self.failed:
            self.failed = True
            raise RuntimeError("the first delivery fails")
        await super().alarm(info)


class Warm(Tested):
    """Refreshes at half of its ttl though nobody asks."""

    policy = Policy(ttl=60, early_refresh=0.5, stale_while_revalidate=60)
    keeps_warm = True


class Breathing(Tested):
    """Refreshes five times a second though nobody asks."""

    policy = Policy(ttl=0.4, early_refresh=0.5, stale_while_revalidate=60)
    keeps_warm = True


class Sized(Tested):
    """Its value is as many bytes long as its key says."""

    async def load(self, key: str) -> str | bytes:
        """So many bytes; a key that ends in `t` asks for text."""
        return "x" * int(key[:-1]) if key.endswith("t") else b"\x00" * int(key)


class Csv(Tested):
    """Its texts are no JSON."""

    def encode(self, value: Any) -> str:
        """Joined by commas."""
        return ",".join(value)


class Odd(Tested):
    """Each of its keys is one way in which a loader can go wrong, or be special."""

    policy = Policy(ttl=60)

    async def load(self, key: str) -> Any:
        """Do what the key says."""
        match key:
            case "itself":
                return (await self.lookup())["message"]
            case "unencodable":
                return {1, 2}
            case "exit":
                raise SystemExit("the loader leaves")
            case "loaded":
                return Loaded("brief", ttl=5)
            case "tagged":
                return Loaded("value", tags=["user:7"])
            case "none":
                return None
            case "surrogate":
                raise LookupError("no user \ud800")
            case _:
                raise KeyError(key)


UserCache = edge_objects.UserCache
Contract = contract_objects.Contract
Desk = contract_objects.Desk


class Unreachable(Tested):
    """Its origin is a port at which nobody listens."""

    async def load(self, key: str) -> Any:
        """Never comes back with anything."""
        return await self.env.NOWHERE.fetch("http://nowhere/")


class Default(WorkerEntrypoint):  # type: ignore[misc]  # a class of the runtime
    """The Python front: `/Class/key/method?replicas=n`, arguments as JSON; answers with JSON."""

    async def fetch(self, request: Any) -> Any:
        """Call the method of a CacheClient."""
        url = urlsplit(request.url)
        _, name, key, method = url.path.split("/")
        if method == "crash_once":
            return await self.crash_once(getattr(self.env, name), key)
        replicas = int(parse_qs(url.query).get("replicas", ["0"])[0])
        arguments = json.loads(await request.text() or "[]")
        client = CacheClient(getattr(self.env, name), replicas=replicas)
        try:
            result = await getattr(client, method)(key, *arguments)
        except HerdlessError as error:
            error_of = {"error": type(error).__name__, "message": str(error), "kind": getattr(error, "kind", None)}
            return Response(json.dumps(error_of), status=502)
        if hasattr(result, "__dataclass_fields__"):
            result = {field: getattr(result, field) for field in result.__dataclass_fields__}
        return Response(json.dumps({"result": result}, default=repr))

    async def crash_once(self, namespace: Any, key: str) -> Any:
        """A `get` whose first attempt meets an object that is being reset."""
        first = namespace.getByName(key)
        client = CacheClient(_Crashing(namespace, first.crash))
        return Response(json.dumps({"result": await client.get(key)}))


class _Crashing:
    """A namespace whose first stub resets its object, as the platform may at any time."""

    def __init__(self, namespace: Any, crash: Any) -> None:
        self._namespace = namespace
        self._crash = crash

    def getByName(self, name: str) -> Any:  # noqa: N802  # JavaScript's name
        """The stub, or at first something that answers as a stub of a reset object does."""
        crash, self._crash = self._crash, None
        return self._namespace.getByName(name) if crash is None else SimpleNamespace(lookup=crash)


class EdgePython(edge_objects.Default):  # type: ignore[misc]  # a class of the runtime
    """The Python front of the example."""
