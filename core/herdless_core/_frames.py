"""Tracebacks that keep nobody's variables.

A traceback refers to frames, a frame to its variables and to the frame that called it: whoever keeps an exception keeps
what its callers had at hand, request bodies and sessions. `standing_in` makes a traceback of frames that were never
run: each has the file, the function, the lines and the columns of the real one, so both are printed alike, and neither
variables nor a caller. The frame is that of a generator which never started, the only kind that can be made without
being run from somewhere; its code is a blank one to which the real one's table of lines was given.
"""

from __future__ import annotations

from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, Final


def _blank() -> Any:
    yield


_BLANK: Final = _blank.__code__

_FOR_SOURCE: Final[tuple[str, ...]] = ("__name__", "__loader__", "__spec__")
"""The globals by which `linecache` finds the source of what does not lie in a file."""

_FRAMES: Final[dict[tuple[object, ...], FrameType]] = {}
"""Frames that were made before. Loads of one loader fail in few places, and a thousand errors may be remembered."""

MOST_FRAMES: Final = 1_000


def standing_in(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback that is printed like this one, without its frames."""
    real = []
    while traceback is not None:
        real.append(traceback)
        traceback = traceback.tb_next
    made = None
    for entry in reversed(real):
        made = TracebackType(made, _frame_like(entry), entry.tb_lasti, entry.tb_lineno)
    return made


def _frame_like(entry: TracebackType) -> FrameType:
    code, names = entry.tb_frame.f_code, entry.tb_frame.f_globals
    # Not the code itself, whose constants would be kept. The ids are of what the frame keeps.
    module = id(names.get("__name__")), id(names.get("__loader__"))
    place = (code.co_filename, code.co_qualname, code.co_firstlineno, code.co_linetable, module)
    frame = _FRAMES.get(place)
    if frame is None:
        if len(_FRAMES) >= MOST_FRAMES:
            _FRAMES.clear()
        found = {name: names[name] for name in _FOR_SOURCE if name in names}
        frame = _FRAMES[place] = FunctionType(_code_like(code), found)().gi_frame
    return frame


def _code_like(code: CodeType) -> CodeType:
    """Blank code with the names and the lines of this one. It is made as long, since the table of lines is read by the
    offset in the code.
    """
    blank = _BLANK.co_code
    longer = (len(code.co_code) - len(blank)) // 2
    return _BLANK.replace(
        co_filename=code.co_filename,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_firstlineno=code.co_firstlineno,
        co_linetable=code.co_linetable,
        co_code=blank + blank[-2:] * longer,  # two bytes are one instruction; none of them is ever run
    )
