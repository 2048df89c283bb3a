"""The contract suite's world in real workerd: callers are HTTP requests, loads park at the test's origin.

Callers call through `CacheClient`, whose namespace is an HTTP front here that passes each call on to an object. Nothing
moves when every thread of the test waits, for an order of the scenario or for an object, and the objects say the same:
just these callers wait in them, just these loads run.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from itertools import count
from socket import SHUT_RDWR
from typing import Any, ClassVar, Final, final
from urllib.parse import unquote

from herdless._trace.plain import policy_to_plain
from herdless.durable_objects import Loaded, Policy, RemoteLoadError
from herdless.testing import Trace
from herdless.trace import read_trace, steps_of
from herdless_core import NANOSECONDS_PER_SECOND, Previous, Restarted, Step, describe
from herdless_core._previous import is_not_modified
from herdless_verify.contract import BlockingWorld, Caller, Load, Main, Spot
from tests.durable_objects.contract_exemptions import EXEMPT
from tests.durable_objects.herd import Edge
from tests.durable_objects.movement import Movement, Parking
from tests.durable_objects.remote import RemoteCache

EPOCH_NS: Final = 3_000_000_000 * NANOSECONDS_PER_SECOND
"""Zero of the scenarios' clocks, in the year 2065: no alarm goes off by itself before it is over."""

_STAGES: Final = count(1)

_THREAD: Final = threading.local()
"""`call`: the call that a caller's thread makes."""


class Disconnected(BaseException):
    """The caller has closed its connection, as it was to."""


@final
class Call:
    """One caller's connection, which another thread may close."""

    def __init__(self) -> None:
        self.number = 0
        self.has_left = False
        self.connection: HTTPConnection | None = None

    def leave(self) -> None:
        """Close the connection under the caller."""
        self.has_left = True
        if self.connection is not None and self.connection.sock is not None:
            self.connection.sock.shutdown(SHUT_RDWR)


class WorkerdWorld(BlockingWorld):
    """Real workerd: `edge`, which whoever runs the suite has to set."""

    edge: ClassVar[Edge]
    cache_class = RemoteCache
    cancellation = Disconnected
    exempt: ClassVar[Mapping[str, str]] = EXEMPT

    def __init__(self) -> None:
        self._stage: Final = next(_STAGES)
        self._movement: Final = Movement()
        self._errors: Final[dict[tuple[str, str], BaseException]] = {}
        """What loads raised, by what an object tells of it."""
        self._numbered: Final[dict[int, Load]] = {}
        self._keys: Final[dict[str, object]] = {}
        """By the names of their objects."""
        self._callers: Final = count(1)
        super().__init__()

    def run(self, main: Main) -> None:
        """The requests that reach the origin are this scenario's loads."""
        self._desk("begin", self._stage, str(self._now()))
        self.edge.origin.scene = self._answer
        try:
            super().run(main)
        finally:
            self.edge.origin.scene = None

    async def make_cache(self, **options: Any) -> Any:
        """A policy under a name of its own; the clock and the observer are the objects' own."""
        del options["clock"], options["observe"]
        takes_previous = options.pop("previous", False)
        policy = options.pop("policy", None) or Policy(**options)
        name = str(len(self.caches))
        self._desk("set_clock", str(self._now()))  # the scenario may have brought another one
        answers = getattr(policy.answers, "__name__", "")
        self._desk("open", name, json.dumps(policy_to_plain(policy)), answers, takes_previous)
        return RemoteCache(self, name)

    def make_spot(self) -> Spot:
        """Where a load parks, at the origin."""
        return Parking(self._movement)

    def spawn(self, body: Callable[[], Any]) -> Any:
        """A thread for each caller."""
        call = Call()

        def run() -> None:
            _THREAD.call = call
            body()

        self._movement.start(run)
        return call

    def cancel(self, caller: Caller) -> None:
        """Close the caller's connection."""
        self._movement.left(caller.handle.number)
        caller.handle.leave()

    async def settle(self) -> None:
        """Ask the objects until they agree with what is seen here."""
        self._movement.settle(self._pulse)

    def move_clock(self, nanoseconds: int) -> None:
        """Every object is told, its timers and its alarm ring if they are due."""
        super().move_clock(nanoseconds)
        for name in self._desk("set_clock", str(self._now())):
            self.ask(name, "look_at_clock")

    @property
    def ignores_cancellation(self) -> bool:
        """Whether loads go on when they are cancelled."""
        return self._ignores_cancellation

    @ignores_cancellation.setter
    def ignores_cancellation(self, ignores: bool) -> None:
        self._ignores_cancellation = ignores
        if ignores:
            self._desk("ignore_cancellation")

    @property
    def steps(self) -> list[tuple[Any, Step]]:
        """Of all objects, one after the other, without the first of each: it restores what is stored."""
        return [
            observed
            for lines in self._desk("traces").values()
            for observed in steps_of(read_trace(lines))
            if not isinstance(observed[1].event, Restarted)
        ]

    # For RemoteCache

    def object_name(self, cache: str, key: object) -> str:
        """The key as a text."""
        name = f"{self._stage}.{cache}.{key if isinstance(key, str) else repr(key)}"
        self._keys[name] = key
        return name

    def ask(self, name: str, method: str, *arguments: object) -> Any:
        """What an object answers at once."""
        return self._thrown(self.edge.ask("Contract", name, method, *arguments))

    def look_up(self, name: str, method: str) -> Any:
        """What an object answers when it can; meanwhile it is the object that says whether the caller waits."""
        number, call = next(self._callers), getattr(_THREAD, "call", None) or Call()
        call.number = number
        call.connection = self.edge.workerd.connect()
        with self._movement.away(number):
            try:
                told = self.edge.workerd.ask_over(call.connection, "Contract", name, f"{method}_as", number)
                return self._thrown(told)
            except (OSError, HTTPException):
                if call.has_left:
                    raise Disconnected from None
                raise
            finally:
                call.connection.close()

    def original(self, error: RemoteLoadError) -> BaseException:
        """The exception of which an object has told the name and the message."""
        return self._errors.get((error.kind, str(error)), error)

    def judge(self, cache: str) -> None:
        """The cache is done with: its objects' steps are to be judged, each object's for themselves."""
        for name, lines in self._desk("traces").items():
            if name.startswith(f"{self._stage}.{cache}."):
                trace = Trace()
                for key, step in steps_of(read_trace(lines)):
                    trace(key, step)
                self.traces.append(trace)

    # Loads

    def _answer(self, path: str) -> str:
        """A load has reached the origin, in a thread of the origin's."""
        path, _, given = path.partition("?")
        stage, text_of_number, name = unquote(path).split("/", 2)
        if int(stage) != self._stage:
            return "{}"  # left from an earlier scenario
        number = int(text_of_number)
        with self._movement.handling(number):
            before = Previous(*json.loads(unquote(given))) if given else None
            load = self.begin_load(self._keys[name], before)
            self._numbered[number] = load
            self.park(load)
            assert load.action is not None
            try:
                told = _told(load.action())
            except BaseException as error:  # noqa: BLE001  # the object is to raise it
                self._errors[describe(error)] = error
                is_exception = isinstance(error, Exception)
                told = {"error": type(error).__name__, "arguments": error.args, "is_exception": is_exception}
            return json.dumps(told)

    # Small things

    def _now(self) -> int:
        return EPOCH_NS + self.clock.now

    def _desk(self, method: str, *arguments: object) -> Any:
        return self._thrown(self.edge.ask("Desk", "desk", method, *arguments))

    def _pulse(self) -> dict[str, Any]:
        pulse: dict[str, Any] = self._desk("pulse")
        for number in pulse["cancelled"]:
            if number in self._numbered:
                self._numbered[number].was_cancelled = True
        if self._ignores_cancellation:
            pulse["cancelled"] = []  # they go on
        return pulse

    @staticmethod
    def _thrown(reply: Any) -> Any:
        if isinstance(reply, dict) and "thrown" in reply:
            raise RuntimeError(reply["thrown"])
        return reply


def _told(value: object) -> dict[str, object]:
    """The value as the object is told of it."""
    if not isinstance(value, Loaded):
        return {"value": value}
    is_unchanged = is_not_modified(value)
    durations = {
        "ttl": value.ttl,
        "stale_while_revalidate": value.stale_while_revalidate,
        "stale_if_error": value.stale_if_error,
        "age": value.age,
    }
    seconds = {
        name: None if duration is None else duration / NANOSECONDS_PER_SECOND for name, duration in durations.items()
    }
    told = {"value": None} if is_unchanged else {"value": value.value}
    return {**told, "options": {**seconds, "keep": value.keep}, "is_not_modified": is_unchanged}
