"""Show that an adapter is right: real runs under schedules that repeat, judged by the invariants of the machine.

For your own adapter as for those of herdless; docs/how-to/write-an-adapter.md uses all of it. Five kinds of parts:

- runs: `run_asyncio`, `run_trio` and `run_threads` run a function in the real runtime, but take every decision about
  the order from a `Schedule`, and time from a `VirtualClock`;
- schedules: `explore` runs all of them (within a bound), `sample` one for each seed, `replay` the one that failed;
- disturbances: `interrupt_everywhere` raises an exception at every point of a piece of code in turn, `call_everywhere`
  calls something there, as a signal handler or a finalizer might;
- all caches of a program: `disabled` lets every lookup load, `clear_all` empties them; pytest's plugin has fixtures;
- judges: `assert_trace_valid` for the steps that `observe=Trace()` recorded, `assert_linearizable` for what the callers
  saw.

Nothing but Python is needed; `run_trio` needs trio.
"""

from herdless._testing._asyncio import Deadlock, SeededEventLoop, run_asyncio
from herdless._testing._clock import VirtualClock
from herdless._testing._everywhere import clear_all, disabled
from herdless._testing._history import History, NotLinearizable, Operation, assert_linearizable
from herdless._testing._injection import (
    LIBRARY,
    Injection,
    InjectionFailed,
    call_everywhere,
    interrupt_everywhere,
)
from herdless._testing._schedule import NotDeterministic, Schedule, ScheduleFailed, explore, replay, sample
from herdless._testing._threads import Spawned, Threads, run_threads
from herdless._testing._trace import Trace, TraceInvalid, assert_trace_valid, describe
from herdless._testing._trio import run_trio

__all__ = [
    "LIBRARY",
    "Deadlock",
    "History",
    "Injection",
    "InjectionFailed",
    "NotDeterministic",
    "NotLinearizable",
    "Operation",
    "Schedule",
    "ScheduleFailed",
    "SeededEventLoop",
    "Spawned",
    "Threads",
    "Trace",
    "TraceInvalid",
    "VirtualClock",
    "assert_linearizable",
    "assert_trace_valid",
    "call_everywhere",
    "clear_all",
    "describe",
    "disabled",
    "explore",
    "interrupt_everywhere",
    "replay",
    "run_asyncio",
    "run_threads",
    "run_trio",
    "sample",
]
