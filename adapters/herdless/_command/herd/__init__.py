"""`herdless herd`: a herd of callers against a slow origin, without and with herdless."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from itertools import product
from typing import Any, Final

from herdless._command._arguments import count, seconds, seed
from herdless._command._errors import CommandError
from herdless._command._progress import progress
from herdless._command._runtimes import RUNTIMES, find
from herdless._command.herd.fleet import CACHES as FLEET_CACHES
from herdless._command.herd.fleet import StoreMissing, fleet_runs, started_server
from herdless._command.herd.origin import named_loader, new_database
from herdless._command.herd.report import as_text, document
from herdless._command.herd.runs import CACHES, MIX_SECONDS, MIX_TTL_SECONDS, Run, cold_herd, fleet_herd, mix
from herdless._command.herd.runtimes import runner
from herdless.stores import RedisStore
from herdless_core import PolicyError

LATENCY_SECONDS: Final = 0.05
ASYNC_ONLY: Final = {"threads": "an async --load cannot serve threads: give a sync one"}

DESCRIPTION: Final = f"""\
Send a herd of callers at a slow origin, a new SQLite database, in each runtime:
once through a plain ttl cache that joins nobody and once through herdless.

  cold  all callers at once, on one key that no cache knows. Where a thousand
        threads come more slowly than the first load ends, the later ones find
        the plain cache filled;
  mix   all callers within {MIX_SECONDS:g} s, the keys Zipf distributed, with a ttl of
        {MIX_TTL_SECONDS:g} s, so that values expire while they are asked for.

And once more cold, from several processes with asyncio: through a plain ttl
cache in each, through herdless in each, and through one cache of herdless that
all share, in a Valkey that is started for it on loopback (the extra "fleet"
brings it), or in yours: --store. With --runtime it is left out.
"""
EPILOG: Final = """\
--load names a callable in a module that can be imported from here. It is called
with a key, "key-00" and so on, by the plain cache once for nearly every caller.
A sync one serves all runtimes, an async one asyncio and trio.

Exit status: 1 if the origin saw another number of loads of a key than herdless
began generations, two at a time, or not just one of the cold key; 2 bad input.
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
    add, slow = parser.add_argument, f"what a query takes on its way, in seconds (default: {LATENCY_SECONDS:g})"
    add("--runtime", choices=(*RUNTIMES, "all"), default="all", help="where to run the herd (default: all)")
    add("--callers", type=count, default=1000, metavar="N", help="how large the herd is (default: 1000)")
    add("--keys", type=count, default=50, metavar="N", help="different keys in the mix (default: 50)")
    add("--seed", type=seed, default=1, metavar="N", help="which lookups the mix is of (default: 1)")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--latency", type=seconds(0.0, 60.0), default=LATENCY_SECONDS, metavar="SECONDS", help=slow)
    origin.add_argument("--load", metavar="MODULE:CALLABLE", help="a loader of your own in place of the database")
    add("--processes", type=count, default=4, metavar="N", help="how many processes share a cache (default: 4)")
    add("--store", metavar="URL", help="a Redis or Valkey of yours for them, as redis://host:6379/0")
    add("--json", action="store_true", help="print the figures as JSON, durations in seconds")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the herd and report; 1 if herdless broke its promise."""
    keys = [f"key-{number:0{len(str(args.keys - 1))}}" for number in range(args.keys)]
    plans = (cold_herd(args.callers, keys[0]), mix(args.callers, keys, args.seed))
    with ExitStack() as stack:
        database = new_database(keys, args.latency)
        origin = stack.enter_context(database) if args.load is None else named_loader(args.load)
        found = find(args.runtime, runner, left_out=ASYNC_ONLY if origin.is_async else None)
        runs = [Run(plan, runtime, cache, origin) for plan, runtime, cache in product(plans, found.parts, CACHES)]
        store = _store(args, stack, found.left_out)
        announce = stack.enter_context(progress(len(runs) + (0 if store is None else len(FLEET_CACHES))))
        for each in runs:
            announce(f"{each.plan.phase}: {each.runtime}, {each.cache}")
            found.parts[each.runtime](each)
        if store is not None:
            plan = fleet_herd(args.callers, args.processes, keys[0])
            runs += fleet_runs(plan, origin, store, args.processes, announce)
    parameters = {"callers": args.callers, "keys": args.keys, "seed": args.seed}
    if store is not None:
        parameters["processes"] = args.processes
    report = document(runs, found.left_out, **parameters)
    sys.stdout.write(json.dumps(report, indent=2) + "\n" if args.json else as_text(report))
    sys.stdout.flush()
    return 1 if report["violations"] else 0


def _store(args: argparse.Namespace, stack: ExitStack, left_out: dict[str, str]) -> str | None:
    """The address of the store for the fleet; None where there is no fleet: then left_out may say why."""
    if args.store is not None:
        try:
            RedisStore(args.store, name="herd")
        except PolicyError as error:
            raise CommandError(f"--store: {error}") from error
        return str(args.store)
    if args.runtime != "all":
        return None
    try:
        return stack.enter_context(started_server())
    except StoreMissing as missing:
        left_out["fleet"] = f"the fleet: {missing}"
        return None
