"""How one speaks with PostgreSQL without waiting: libpq's own non-blocking interface, as psycopg 3 gives it.

A conversation is a generator. It yields what it waits for, and every runtime waits by its own means: so all three have
the same client, the same time-outs, and the same behaviour where a connection breaks.
"""

from __future__ import annotations

import contextlib
import importlib
import select
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias, TypeVar, final

from herdless_core import PolicyError, StoreDown

T = TypeVar("T")

BOOL: Final = 16
BYTEA: Final = 17
INT8: Final = 20
TEXT: Final = 25
ARRAYS: Final = {BYTEA: 1001, TEXT: 1009}
"""The numbers by which PostgreSQL knows its types, and for each that of an array of it."""


@final
@dataclass(frozen=True, slots=True)
class Wait:
    """Until the socket can be read, or written."""

    socket: int
    for_writing: bool


@final
@dataclass(frozen=True, slots=True)
class Connect:
    """A new connection is wanted. Names are looked up on the way, which blocks: not in an event loop."""

    address: bytes


Steps: TypeAlias = Generator[Wait | Connect, Any, T]
Rows: TypeAlias = list[tuple[bytes | None, ...]]


@final
class Value:
    """A value for a statement: its type, and its bytes in PostgreSQL's binary format."""

    def __init__(self, kind: int, raw: bytes | None) -> None:
        self.kind: Final = kind
        self.raw: Final = raw


def text(value: str) -> Value:
    """Text."""
    return Value(TEXT, value.encode())


def bytea(value: bytes) -> Value:
    """Bytes."""
    return Value(BYTEA, value)


def int8(value: int | None) -> Value:
    """An integer, or NULL."""
    return Value(INT8, None if value is None else value.to_bytes(8, signed=True))


def boolean(value: bool) -> Value:
    """True or false."""
    return Value(BOOL, bytes((value,)))


def array(kind: int, values: Sequence[bytes]) -> Value:
    """Values of one kind: one dimension, no NULL, counted from 1."""
    head = b"".join(number.to_bytes(4) for number in (1, 0, kind, len(values), 1))
    return Value(ARRAYS[kind], head + b"".join(len(value).to_bytes(4) + value for value in values))


class Broken(Exception):
    """The connection is of no use any more."""


class Refused(Exception):
    """The server has answered by an error; the connection is as good as before."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state: Final = state


def connecting(address: bytes) -> Generator[Wait, None, Any]:
    """A connection. Raises Broken."""
    pq = imported("psycopg.pq")
    connection = pq.PGconn.connect_start(address)
    try:
        while True:
            status = connection.connect_poll()
            if status == pq.PollingStatus.OK:
                connection.nonblocking = 1
                return connection
            if status == pq.PollingStatus.FAILED:
                raise Broken(_decoded(connection.error_message))
            yield Wait(connection.socket, status == pq.PollingStatus.WRITING)
    except BaseException:
        connection.finish()
        raise


def asking(connection: Any, statement: str, values: Sequence[Value] = ()) -> Generator[Wait, None, Rows]:
    """One statement, and its rows. Raises Broken and Refused; whoever breaks it off has to close the connection."""
    error = imported("psycopg").Error
    try:
        connection.send_query_params(
            statement.encode(),
            [value.raw for value in values],
            param_types=[value.kind for value in values],
            param_formats=[1] * len(values),
            result_format=1,
        )
        while connection.flush():
            yield Wait(connection.socket, for_writing=True)
        results = []
        while (result := (yield from _next_result(connection))) is not None:
            results.append(result)
    except error as broken:
        raise Broken(str(broken)) from broken
    return _rows(results[-1])


def _next_result(connection: Any) -> Generator[Wait, None, Any]:
    while connection.is_busy():
        yield Wait(connection.socket, for_writing=False)
        connection.consume_input()
    return connection.get_result()


def _rows(result: Any) -> Rows:
    pq = imported("psycopg.pq")
    if result.status not in {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}:
        field = pq.DiagnosticField
        # Not the details, in which there may be values.
        message, state = (result.error_field(each) or b"" for each in (field.MESSAGE_PRIMARY, field.SQLSTATE))
        if not state:
            raise Broken(_decoded(result.error_message))
        raise Refused(_decoded(message), _decoded(state))
    return [tuple(result.get_value(row, column) for column in range(result.nfields)) for row in range(result.ntuples)]


def hear(connection: Any) -> str | None:
    """The next notification that has arrived; None where none has. Raises Broken."""
    with broken_told():
        connection.consume_input()
        notification = connection.notifies()
    return None if notification is None else _decoded(notification.extra)


class broken_told(contextlib.AbstractContextManager[None]):  # noqa: N801  # it is used as a function
    """psycopg's errors are Broken."""

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if isinstance(error, imported("psycopg").Error):
            raise Broken(str(error)) from error


def imported(module: str) -> Any:
    """Psycopg is needed by nobody who does not use this store, and so is imported by its use."""
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise PolicyError("store=PostgresStore(...) needs psycopg 3: pip install 'herdless[postgres]'") from missing


def _decoded(message: bytes) -> str:
    return message.decode("utf-8", "replace").strip()


# How a thread waits


def drive(steps: Steps[T], ends_at: float) -> T:
    """Carry a conversation out. ends_at: by `time.monotonic`, when StoreDown is raised."""
    try:
        _carry_out(steps, ends_at)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


def _carry_out(steps: Steps[Any], ends_at: float) -> NoReturn:
    reply: Any = None
    while True:
        wanted = steps.send(reply)
        reply = None
        if isinstance(wanted, Connect):
            reply = drive(connecting(wanted.address), ends_at)
        elif not ready(wanted, ends_at - time.monotonic()):
            raise StoreDown("the store did not answer in time")


def ready(wait: Wait, seconds: float) -> bool:
    """Whether it comes to be within so many seconds."""
    seconds = max(seconds, 0.0)
    if not hasattr(select, "poll"):  # Windows
        sockets = [wait.socket]
        found = select.select([] if wait.for_writing else sockets, sockets if wait.for_writing else [], [], seconds)
        return any(found)
    poll = select.poll()
    poll.register(wait.socket, select.POLLOUT if wait.for_writing else select.POLLIN)
    return bool(poll.poll(seconds * 1_000))


class Runtime:
    """How asyncio or trio waits."""

    async def wait(self, wait: Wait, seconds: float) -> bool:
        """As `ready`."""
        raise NotImplementedError

    async def in_thread(self, function: Callable[[], T]) -> T:
        """What it returns, called on another thread."""
        raise NotImplementedError

    def semaphore(self, count: int) -> Any:
        """With `acquire`, which is awaited, and `release`."""
        raise NotImplementedError

    async def acquire(self, semaphore: Any, seconds: float) -> bool:
        """Whether it was had within so many seconds."""
        raise NotImplementedError


async def drive_async(runtime: Runtime, steps: Steps[T], ends_at: float) -> T:
    """As `drive`."""
    ended: list[T] = []

    def kept() -> Steps[None]:
        ended.append((yield from steps))  # a coroutine may not end by StopIteration

    conversation = kept()
    try:
        await _carry_out_async(runtime, conversation, ends_at)
    finally:
        conversation.close()
    return ended[0]


async def _carry_out_async(runtime: Runtime, steps: Steps[None], ends_at: float) -> None:
    reply: Any = None
    while True:
        try:
            wanted = steps.send(reply)
        except StopIteration:
            return
        reply = None
        if isinstance(wanted, Connect):
            address = wanted.address
            reply = await runtime.in_thread(lambda: drive(connecting(address), ends_at))  # noqa: B023  # used at once
        elif not await runtime.wait(wanted, ends_at - time.monotonic()):
            raise StoreDown("the store did not answer in time")
