"""Recording: an `observe=` that writes every step as a line.

A trace with a hole in it would accuse a cache that is right. So a recorder that could not write one step writes none
after it: what it has recorded up to then is the beginning of what happened, and true.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, final

from herdless._trace.plain import VERSION, Name, policy_to_plain, short, step_to_plain
from herdless_core import ABSENT, Entry, Failure, Fresh, Plain, Policy, Restarted, Stale, Step


@final
class TraceWriter:
    """Turns the steps of ONE cache into lines: give it as `observe=`. For a file there is `TraceFile`.

    write: called with each line, its newline included, inside the cache's lock: it must not call the cache.
    key: the text for a key: the same for equal keys, different for others. To keep keys out of the trace, digest them.
    value: what stands for a value, text or integer: the same for the same value. By default values are numbered.
    by: the name of the task or thread that takes a step.
    is_durable: whether entries outlive their owner. They may then be found again as they were saved, by another owner.
    owner: the name of the instance, where several write into one file by turns: another for each.
    is_forked: whether it is a child process whose cache began with the values of its parent's.

    What one of these functions raises is raised by the step's call, and ends the recording. Of texts over 4,000
    characters a line has the beginning and a digest.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        key: Callable[[Any], str] = repr,
        value: Callable[[Any], Name] | None = None,
        by: Callable[[], str] | None = None,
        is_durable: bool = False,
        owner: str | None = None,
        is_forked: bool = False,
    ) -> None:
        self._write: Final = write
        self._key: Final = key
        self._value: Final = value
        self._by: Final = by or current_task_or_thread
        self._owner: Final[Plain] = {} if owner is None else {"owner": short(owner)}
        self._nature: Final[Plain] = {"is_durable": is_durable} | ({"is_forked": True} if is_forked else {})
        self._numbers: Final = _Numbers()
        self._policy: Policy | None = None
        self._has_ended = False

    def __call__(self, key: Any, step: Step) -> None:
        """Write a step; before the first one the header. Raises ValueError for a step of another cache."""
        policy = step.policy.derived_from or step.policy
        if self._policy is not None and policy is not self._policy:
            raise ValueError("a trace is of one cache: give every cache a recorder of its own")
        if self._has_ended:
            return
        with self._all_or_no_more():
            self.open(policy)
            name = self._numbers.number if self._value is None else self._given_name
            line = {**self._owner, "key": short(self._key(key)), "by": short(self._by())}
            self._line(line | step_to_plain(step, name))
            if self._value is None:
                self._numbers.follow(ABSENT if self._is_restored(step) else step.before, step.after)

    def open(self, policy: Policy) -> None:
        """Write the header, unless it has been written."""
        if self._policy is None:
            self._policy = policy
            plain = policy_to_plain(policy)
            self._line({"herdless_trace": VERSION, **self._owner, "policy": plain, **self._nature})

    def stored(self) -> None:
        """Say that all steps so far are on disk: from now on no owner may find the entry as it was before.

        For durable entries: call it when the platform has said so, as `put` and `invalidate` wait for it.
        """
        if not self._has_ended:
            with self._all_or_no_more():
                self._line({**self._owner, "stored": True})

    @contextlib.contextmanager
    def _all_or_no_more(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._has_ended = True
            error.add_note("the recording of the trace has ended")
            raise

    def _is_restored(self, step: Step) -> bool:
        """Whether the step begins with what was not held; what an owner of durable entries finds may have been."""
        is_without_flight = isinstance(step.event, Restarted) and step.before.flight is None
        return is_without_flight and not self._nature["is_durable"]

    def _given_name(self, value: Any) -> Name:
        name = self._value(value) if self._value is not None else 0
        return short(name) if isinstance(name, str) else name

    def _line(self, plain: Plain) -> None:
        self._write(json.dumps(plain, separators=(",", ":")) + "\n")


@final
class _Numbers:
    """Values by number, in the order in which they came. No value is kept, or kept alive.

    A number belongs to an object for as long as an entry holds it; what comes at the same address later is another.
    """

    def __init__(self) -> None:
        self._last = 0
        self._numbers: Final[dict[int, int]] = {}
        """By address."""
        self._holders: Final[dict[int, int]] = {}
        """How many entries hold what is at the address; those that none holds are not in here."""
        self._passing: Final[list[int]] = []
        """The addresses that came new with the step that is being written."""

    def number(self, value: object) -> int:
        """The value's number."""
        number = self._numbers.get(id(value))
        if number is None:
            number = self._last = self._last + 1
            self._numbers[id(value)] = number
            self._passing.append(id(value))
        return number

    def follow(self, before: Entry, after: Entry) -> None:
        """The step is written: forget what is held no longer, and what was only passing."""
        old, new = _held(before), _held(after)
        if new is not None and (new != old or new not in self._holders):
            self._holders[new] = self._holders.get(new, 0) + 1
        if old is not None and old != new and old in self._holders:
            self._holders[old] -= 1
            if self._holders[old] == 0:
                del self._holders[old]
                self._passing.append(old)
        for address in self._passing:
            if address not in self._holders:
                self._numbers.pop(address, None)
        self._passing.clear()


def _held(entry: Entry) -> int | None:
    """The address of the value that the entry holds."""
    return id(entry.value) if isinstance(entry, Fresh | Stale) and not isinstance(entry.value, Failure) else None


def current_task_or_thread() -> str:
    """The name of the asyncio or trio task that runs this, otherwise of the thread."""
    if "trio" in sys.modules:
        import trio

        if trio.lowlevel.in_trio_run() and trio.lowlevel.in_trio_task():
            return trio.lowlevel.current_task().name
    if "asyncio" in sys.modules:
        import asyncio

        with contextlib.suppress(RuntimeError):  # no loop runs in this thread
            task = asyncio.current_task()
            if task is not None:
                return task.get_name()
    return threading.current_thread().name
