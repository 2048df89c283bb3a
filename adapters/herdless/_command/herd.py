"""`herdless herd`: a herd of callers against a slow origin, without and with herdless."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Final

from herdless._command._arguments import count, seconds, seed
from herdless._command._loader import named_loader
from herdless._command._origin import LATENCY_SECONDS, QUERY, ROWS, SCHEMA, Source, existing_origin, new_origin
from herdless._command._plan import CONNECTIONS, LOOKUPS_PER_CALLER, MIX_SECONDS, MIX_TTL_SECONDS, cold_herd, zipf_mix
from herdless._command._progress import progress
from herdless._command._report import Report, as_json
from herdless._command._run import CACHES, run_all
from herdless._command._runtimes import RUNTIMES, Found, find
from herdless._command._serve import Serve, serve_on
from herdless._command._show import show

DESCRIPTION: Final = f"""\
Send a herd of callers at a slow origin, once through a plain ttl cache that
joins nobody and once through herdless, in each runtime, and count what the
origin saw:

  cold  all callers at once, on one key that no cache knows;
  mix   {LOOKUPS_PER_CALLER} lookups by each caller within {MIX_SECONDS:g} s, the keys Zipf distributed, with
        a ttl of {MIX_TTL_SECONDS:g} s, so that values expire while they are asked for.

Unless told otherwise the origin is a new SQLite database of {ROWS:,} rows in a
temporary directory, of which every load reads the whole table, after waiting
for --latency: a service's database is not on its own machine. Python runs one
thread at a time: where a thousand threads take longer to come than the first
load takes, the later ones find the plain cache filled.
"""

EPILOG: Final = f"""\
--origin expects a table {SCHEMA}, in which a key may have many rows.
It is opened read-only, by at most {CONNECTIONS} connections at a time. A load waits
for --latency and runs
  {QUERY}
The N keys with the most rows are asked for.

--load expects the name of a callable in a module that can be imported from
here; it is called with a key, "key-00" and so on, and returns any value. A sync
one serves all runtimes (asyncio and trio run it in a thread), an async one
asyncio and trio. The plain cache calls it once for nearly every caller: if it
is slow, take fewer of them.

Exit status: 1 if any key of a herdless cache was loaded twice in one
generation, or the cold herd was more than one load; 2 for bad input.
"""


def add_arguments(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add this subcommand's parser."""
    parser = subparsers.add_parser(
        "herd",
        help="send a herd of callers at a slow origin, and count what it saw (the default)",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--runtime", choices=(*RUNTIMES, "all"), default="all", help="where to run the herd (default: all)")
    add("--callers", type=count, default=1000, metavar="N", help="how large the herd is (default: 1000)")
    add("--keys", type=count, default=50, metavar="N", help="different keys in the mix (default: 50)")
    add("--seed", type=seed, default=1, metavar="N", help="which lookups the mix is of (default: 1)")
    add(
        "--latency",
        type=seconds(0.0, 60.0),
        default=LATENCY_SECONDS,
        metavar="SECONDS",
        help=f"the way to the SQLite origin and back, beside the query itself (default: {LATENCY_SECONDS:g})",
    )
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--origin", metavar="FILE.sqlite3", help="a SQLite database of your own, see below")
    origin.add_argument("--load", metavar="MODULE:CALLABLE", help="a loader of your own, see below")
    add("--json", action="store_true", help="print the figures as JSON, durations in seconds")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the herd and report; 1 if herdless broke its promise."""
    with _source(args) as source:
        runtimes = _runtimes(args.runtime, is_async=source.is_async)
        plans = (cold_herd(args.callers, source.keys[0]), zipf_mix(args.callers, source.keys, args.seed))
        with progress(len(plans) * len(runtimes.parts) * len(CACHES)) as announce:
            rows = run_all(plans, runtimes.parts, source, announce)
    report = Report(source, args.seed, plans, rows, runtimes.left_out)
    sys.stdout.write(as_json(report) if args.json else show(report))
    sys.stdout.flush()
    return 1 if report.violations else 0


@contextlib.contextmanager
def _source(args: argparse.Namespace) -> Iterator[Source]:
    if args.load is not None:
        yield named_loader(args.load, args.keys)
    elif args.origin is not None:
        yield existing_origin(args.origin, args.keys, args.latency)
    else:
        with new_origin(args.keys, args.latency) as source:
            yield source


def _runtimes(asked: str, *, is_async: bool) -> Found[Serve]:
    if not is_async:
        return find(asked, serve_on)
    why = "an async --load cannot serve threads: give a sync one"
    return find(asked, serve_on, left_out={"threads": why})
