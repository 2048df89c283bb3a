"""Histories: what the callers of one key did and saw, and the search for an order in which it makes sense.

An operation took effect at one instant between its call and its end. A history is linearizable when instants can be
chosen so that the operations, one after the other, are those of the register below (Herlihy and Wing, 1990); the search
is that of Wing and Gong (1993), with the states it has been in kept (Lowe, 2017).

The register holds a value or none, and perhaps a flight:

    a load begins   where there is no flight: it is the flight from now on, and a value is held on to
    a load ends     if it is still the flight: its value is held from now on; else nothing
    a load fails    if it is still the flight: there is none any more; else nothing
    put v           v is held, there is no flight
    invalidate      nothing is held, there is no flight
    get -> v        v is held; or nothing is, and the flight is the load that will give v

That is NoStaleRead: a lookup after an invalidation finds nothing that was there before it. Values are compared by `==`,
so let every load and every put give another one. Time and capacity play no part: check caches without ttl, load_timeout
and maxsize this way.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar, final

V = TypeVar("V")

Kind: TypeAlias = Literal["get", "put", "invalidate", "load begins", "load ends", "load fails"]

NEVER_ENDED: Final = 2**62
"""The end of an operation whose effect may come at any time after its call."""


class NotLinearizable(AssertionError):
    """A history that no order of its operations explains."""


@final
@dataclass(frozen=True, slots=True)
class Operation:
    """What one caller, or one load, did. `called_at` and `ended_at` are numbers in the order of what happened."""

    kind: Kind
    called_at: int
    ended_at: int
    value: Any = None
    """What was put, got or loaded; for a load that failed the exception, and for a lookup that it failed by it."""

    def __str__(self) -> str:
        end = "..." if self.ended_at == NEVER_ENDED else self.ended_at
        return f"[{self.called_at}, {end}] {self.kind}" + ("" if self.value is None else f" {self.value!r}")


@final
class History:
    """Records the operations on one key, from any number of threads or tasks."""

    def __init__(self) -> None:
        self.operations: Final[list[Operation]] = []
        self._instants: Final = itertools.count(1)
        self._lock: Final = threading.Lock()

    def now(self) -> int:
        """The next instant."""
        with self._lock:
            return next(self._instants)

    def add(self, kind: Kind, called_at: int, value: Any = None, *, ended_at: int | None = None) -> None:
        """Note an operation.

        kind: what was done; called_at: the instant at which it began, by `now`; value: what it was about; ended_at: the
        instant of its end, None for now.
        """
        ended_at = self.now() if ended_at is None else ended_at
        self.operations.append(Operation(kind, called_at, ended_at, value))

    @contextmanager
    def during(self, kind: Kind, value: Any = None) -> Iterator[None]:
        """Note an operation that takes as long as the block."""
        called_at = self.now()
        yield
        self.add(kind, called_at, value)

    def get(self, get: Callable[[], V]) -> V:
        """Look up, and note what came of it: a value, or an exception that a load raised. Note nothing of a caller who
        left.
        """
        called_at = self.now()
        try:
            value = get()
        except Exception as error:
            self.add("get", called_at, error)
            raise
        self.add("get", called_at, value)
        return value

    def load(self, read: Callable[[], V]) -> V:
        """Read what a load gives, inside the loader, and note when it began and ended."""
        began_by = self.now()  # its flight began at some time before
        try:
            value = read()
        except BaseException as error:
            self.add("load begins", 0, error, ended_at=began_by)
            self.add("load fails", began_by, error, ended_at=NEVER_ENDED)  # a cancelled one was none before it knew
            raise
        self.add("load begins", 0, value, ended_at=began_by)
        self.add("load ends", self.now(), value, ended_at=NEVER_ENDED)
        return value


class _Register(NamedTuple):
    """The state: positions in the list of all values, -1 for none."""

    held: int
    flight: int


def assert_linearizable(history: History | Sequence[Operation]) -> None:
    """Raise NotLinearizable unless some order of the operations explains what every caller of the key saw."""
    operations = history.operations if isinstance(history, History) else list(history)
    operations = sorted(operations, key=lambda operation: operation.called_at)
    deepest = _search(operations)
    if deepest is not None:
        done = [operation for index, operation in enumerate(operations) if deepest >> index & 1]
        rest = [operation for index, operation in enumerate(operations) if not deepest >> index & 1]
        raise NotLinearizable(
            "no order of these operations explains what was seen:\n"
            + "".join(f"  {operation}\n" for operation in operations)
            + f"the longest beginning that makes sense has {len(done)} of them and leaves\n"
            + "".join(f"  {operation}\n" for operation in rest)
        )


def _search(operations: Sequence[Operation]) -> int | None:
    """None where there is an order; otherwise the largest set of operations, as bits, that can come first."""
    values = _numbered(operations)
    everything = (1 << len(operations)) - 1
    required = sum(1 << index for index, each in enumerate(operations) if each.ended_at != NEVER_ENDED)
    stack = [(0, _Register(-1, -1))]
    seen = set(stack)
    deepest = 0
    while stack:
        done, register = stack.pop()
        if done & required == required:
            return None
        if done.bit_count() > deepest.bit_count():
            deepest = done
        for index in _possible(operations, everything & ~done):
            after = _apply(operations[index].kind, values[index], register)
            following = (done | 1 << index, after)
            if after is not None and following not in seen:
                seen.add((following[0], after))
                stack.append((following[0], after))
    return deepest


def _possible(operations: Sequence[Operation], rest: int) -> Iterator[int]:
    """Those of the rest that may come next: called before any of the rest had ended."""
    indices = [index for index in range(rest.bit_length()) if rest >> index & 1]
    first_end = min(operations[index].ended_at for index in indices)
    return (index for index in indices if operations[index].called_at < first_end)


def _apply(kind: Kind, value: int, register: _Register) -> _Register | None:
    """The register after the operation; None where it cannot have been so."""
    held, flight = register
    match kind:
        case "put":
            return _Register(value, -1)
        case "invalidate":
            return _Register(-1, -1)
        case "load begins":
            return _Register(held, value) if flight < 0 else None
        case "load ends":
            return _Register(value, -1) if flight == value else register
        case "load fails":
            return _Register(held, -1) if flight == value else register
        case "get":
            return register if value == (held if held >= 0 else flight) else None


def _numbered(operations: Sequence[Operation]) -> list[int]:
    """For each operation the number of its value: the position of the first operation that has an equal one."""
    distinct: list[Any] = []
    numbers = []
    for operation in operations:
        value = _told(operation.value)
        if value not in distinct:
            distinct.append(value)
        numbers.append(distinct.index(value))
    return numbers


def _told(value: Any) -> Any:
    """What a caller can tell of the value: of a load's error each gets a copy of its own."""
    return (type(value), value.args) if isinstance(value, BaseException) else value
