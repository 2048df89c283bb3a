"""Traces: what an adapter fed the machine and what it was ordered to do, one line of JSON for each step.

    from herdless.trace import TraceFile
    with TraceFile("users.trace") as trace:
        cache = Cache(load, ttl=60, observe=trace)

Nothing is recorded unless asked for, and then no value is: docs/trace.md says what is, what it costs, and what
`herdless trace FILE` makes of it. Here are the parts: recorders (`TraceFile`, and `TraceWriter` for any other place),
the reader (`read_trace`), the judge (`departure`), and two ways to look at it (`as_mermaid`, `as_perfetto`). The format
is described in herdless/_trace/plain.py.
"""

from herdless._trace.file import TraceFile
from herdless._trace.judge import Departure, departure
from herdless._trace.mermaid import as_mermaid
from herdless._trace.perfetto import as_perfetto
from herdless._trace.plain import RecordedError, RecordedLoadError, RecordedValue
from herdless._trace.reader import Line, NotATrace, Recorded, Section, Stored, read_trace, steps_of
from herdless._trace.strict import LINE_LIMIT
from herdless._trace.writer import TraceWriter, current_task_or_thread

__all__ = [
    "LINE_LIMIT",
    "Departure",
    "Line",
    "NotATrace",
    "Recorded",
    "RecordedError",
    "RecordedLoadError",
    "RecordedValue",
    "Section",
    "Stored",
    "TraceFile",
    "TraceWriter",
    "as_mermaid",
    "as_perfetto",
    "current_task_or_thread",
    "departure",
    "read_trace",
    "steps_of",
]
