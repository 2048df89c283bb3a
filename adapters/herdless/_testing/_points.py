"""How the interpreter tells of the points at which code of Python can be disturbed: before each of its instructions,
and after each call of a C function that it makes.

Python 3.11 has its trace and profile functions for it. From 3.12 on `sys.monitoring` (PEP 669) tells of them: an
exception that is raised by a trace function crashes 3.12, which then takes back the instructions of what runs just now.
"""

from __future__ import annotations

import contextlib
import dis
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, Protocol, TypeAlias, final

PassPoint: TypeAlias = Callable[[CodeType, int, object], None]
"""Is called at each point, and may raise: with the code, the offset of its instruction, and, after a call of a C
function, that function; with None before an instruction.
"""

_SUSPENDS: Final = dis.opmap["YIELD_VALUE"]


class Driver(Protocol):
    """Tells of the points of one thread, between `begin` and `end`."""

    def begin(self, frame: FrameType) -> None:
        """From here on. C functions that this frame calls itself are no points."""

    def end(self) -> None:
        """No more."""

    def stop(self) -> None:
        """No more are needed, and the caller is inside of one."""


@final
class Traced:
    """By the trace function and the profile function of the thread."""

    def __init__(self, wants: Callable[[CodeType], bool], pass_point: PassPoint) -> None:
        self._wants: Final = wants
        self._pass_point: Final = pass_point
        self._frame: FrameType | None = None
        self._outer: tuple[Any, Any] = None, None

    def begin(self, frame: FrameType) -> None:
        """From here on."""
        self._frame, self._outer = frame, (sys.gettrace(), sys.getprofile())
        sys.setprofile(self._profile)
        sys.settrace(self._trace)

    def end(self) -> None:
        """As it was before."""
        if self._frame is not None:
            trace, profile = self._outer
            sys.settrace(trace)
            sys.setprofile(profile)
            self._frame = None

    def stop(self) -> None:
        """Faster than to be told of each of them."""
        if self._frame is not None:
            sys.settrace(None)
            sys.setprofile(None)

    def _trace(self, frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        if not self._wants(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._trace_opcode

    def _trace_opcode(self, frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        if event == "opcode" and _is_signal_seen(frame.f_code, frame.f_lasti):
            self._pass_point(frame.f_code, frame.f_lasti, None)
        return self._trace_opcode

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_return" and frame is not self._frame and self._wants(frame.f_code):
            self._pass_point(frame.f_code, frame.f_lasti, argument)


if sys.version_info >= (3, 12):

    @final
    class Monitored:
        """By `sys.monitoring`, which tells of all threads."""

        def __init__(self, wants: Callable[[CodeType], bool], pass_point: PassPoint) -> None:
            self.wants: Final = wants
            self.pass_point: Final = pass_point
            self.frame: FrameType | None = None

        def begin(self, frame: FrameType) -> None:
            """From here on."""
            self.frame = frame
            _MONITOR.drivers[threading.get_ident()] = self

        def end(self) -> None:
            """No more."""
            self.stop()
            self.frame = None

        def stop(self) -> None:
            """The instructions stay as they are: taking them back here is what crashes."""
            _MONITOR.drivers.pop(threading.get_ident(), None)

    @final
    class _Monitor:
        """The one tool that has the interpreter's events."""

        def __init__(self) -> None:
            self.drivers: Final[dict[int, Monitored]] = {}
            """By thread."""
            self._codes: Final[set[CodeType]] = set()
            """Of which instructions are told."""

        @contextlib.contextmanager
        def watching(self) -> Iterator[None]:
            """Meanwhile events are told. Raises ValueError where no tool's place is free."""
            tool, events = _free_tool(), sys.monitoring.events
            sys.monitoring.use_tool_id(tool, "herdless.testing")
            try:
                sys.monitoring.register_callback(tool, events.PY_START, lambda code, _offset: self._start(tool, code))
                sys.monitoring.register_callback(tool, events.INSTRUCTION, self._instruction)
                sys.monitoring.register_callback(tool, events.C_RETURN, self._c_return)
                sys.monitoring.set_events(tool, events.PY_START)
                yield
            finally:
                sys.monitoring.set_events(tool, 0)
                while self._codes:
                    sys.monitoring.set_local_events(tool, self._codes.pop(), 0)
                for event in (events.PY_START, events.INSTRUCTION, events.C_RETURN):
                    sys.monitoring.register_callback(tool, event, None)
                sys.monitoring.free_tool_id(tool)

        def _start(self, tool: int, code: CodeType) -> None:
            driver = self.drivers.get(threading.get_ident())
            if driver is not None and code not in self._codes and driver.wants(code):
                self._codes.add(code)
                events = sys.monitoring.events
                sys.monitoring.set_local_events(tool, code, events.INSTRUCTION | events.CALL)

        def _instruction(self, code: CodeType, offset: int) -> None:
            driver = self.drivers.get(threading.get_ident())
            if driver is not None and _is_signal_seen(code, offset):
                driver.pass_point(code, offset, None)

        def _c_return(self, code: CodeType, offset: int, function: object, _first: object) -> None:
            driver = self.drivers.get(threading.get_ident())
            if driver is not None and sys._getframe(1) is not driver.frame:
                driver.pass_point(code, offset, function)

    def _free_tool() -> int:
        for tool in (3, 4):  # the places that are of no kind of tool
            if sys.monitoring.get_tool(tool) is None:
                return tool
        raise ValueError("sys.monitoring: the places of all tools are in use, and the points need one")

    _MONITOR: Final = _Monitor()

    def watching() -> contextlib.AbstractContextManager[None]:
        """Meanwhile drivers may begin."""
        return _MONITOR.watching()

    def make_driver(wants: Callable[[CodeType], bool], pass_point: PassPoint) -> Driver:
        """The driver of this interpreter. wants: whether a code's points are wanted."""
        return Monitored(wants, pass_point)

else:

    def watching() -> contextlib.AbstractContextManager[None]:
        """Meanwhile drivers may begin."""
        return contextlib.nullcontext()

    def make_driver(wants: Callable[[CodeType], bool], pass_point: PassPoint) -> Driver:
        """The driver of this interpreter. wants: whether a code's points are wanted."""
        return Traced(wants, pass_point)


_BYTES: Final[dict[CodeType, bytes]] = {}


def _is_signal_seen(code: CodeType, offset: int) -> bool:
    """Not where a coroutine is about to be suspended: what it awaits has been told that it was, and no interpreter
    looks for signals there.
    """
    instructions = _BYTES.get(code)
    if instructions is None:
        instructions = _BYTES[code] = code.co_code
    return instructions[offset] != _SUSPENDS


def place_of(code: CodeType, offset: int, function: object) -> str:
    """What `PassPoint` was told, as in `before LOAD_FAST at threads.py:130 in Cache._answer`."""
    when = "before" if function is None else f"after {getattr(function, '__qualname__', function)} in"
    with contextlib.suppress(IndexError):
        name = dis.opname[code.co_code[offset]]
        line = next((line for start, end, line in code.co_lines() if start <= offset < end), None)
        return f"{when} {name} at {Path(code.co_filename).name}:{line} in {code.co_qualname}"
    return f"{when} {code.co_qualname}"
