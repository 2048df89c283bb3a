"""`herdless soak`: real load with faults, for as long as one likes, every step and every answer judged."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from herdless._command._arguments import seconds, seed
from herdless._command._elsewhere import SUBCOMMANDS
from herdless._command._errors import CommandError
from herdless._command._progress import progress
from herdless._command._runtimes import RUNTIMES, find
from herdless_verify.command import soaked_fleet
from herdless_verify.command.soaked import SoakReport, as_json, show
from herdless_verify.soak.fleet.run import soak_fleet
from herdless_verify.soak.fleet.server import INSTALL
from herdless_verify.soak.foreign import INJECTIONS, Injection
from herdless_verify.soak.memory import BLOCKS_LIMIT, RSS_LIMIT
from herdless_verify.soak.processes import soak_side_by_side
from herdless_verify.soak.run import play_on

DEFAULT_SECONDS: Final = 20.0
LEAST_SECONDS, MOST_SECONDS = 1.0, 1e7
SEEDS: Final = 2**32

DESCRIPTION: Final = """\
Load the caches of each runtime, in real time and with real concurrency, while
everything goes wrong that can: loads fail, hang, are slow, stop themselves,
ignore their cancellation or ask the cache; callers leave; keys are put,
invalidated, expired, refreshed and cleared; more values come than fit; the
cache is closed; foreign code uses it from finalizers, signals, the log and
other threads, and exceptions break into it. Every step is judged by the
invariants as it happens, every answer by a model of what a caller may be told.

The run is a row of rounds, each under another policy, drawn from the seed. A
round ends in a calm, in which no fault is added and everything must come to an
end: no caller waits, no flight is in the air, no task or thread is left.

--fleet soaks a shared cache instead: four processes on a real server, which are
killed (kill -9), stopped and continued, and whose connections are silenced and
cut, while keys are invalidated, put and expired. All that they wrote down is
judged at the end: that the machine has made the records, step by step and
without a fork; that nothing was told which was older than `staleness` allows;
that each load was claimed; and that nobody waits.
"""

EPILOG: Final = f"""\
The runtimes run side by side, each in a process of its own. A seed repeats what
was tried, but not the order in which threads and tasks ran.

Memory is read at the end of each round, when its cache is gone. Growth is the
least of the second half of the rounds over the least of the first, after a
warm-up of a third. More than {RSS_LIMIT >> 20} MiB of resident set or {BLOCKS_LIMIT:,} blocks of
Python's allocator is called a leak, and is a violation.

--fleet starts a Valkey on loopback, which needs
  {INSTALL}
--store takes redis://HOST:PORT of a server of yours, in which only keys with a
prefix of this run are written, and are removed at the end.

Exit status: 1 if a promise was broken; the first one found is told, and the
seed; 2 for bad input.
"""


def add_arguments(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add this subcommand's parser."""
    parser = subparsers.add_parser(
        "soak",
        help=SUBCOMMANDS["soak"],
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--runtime", choices=(*RUNTIMES, "all"), default="all", help="which caches to soak (default: all)")
    add(
        "--seconds",
        type=seconds(LEAST_SECONDS, MOST_SECONDS),
        default=DEFAULT_SECONDS,
        metavar="N",
        help=f"for how long at least (default: {DEFAULT_SECONDS:g})",
    )
    add("--seed", type=seed, default=None, metavar="N", help="what to draw from (default: another one in each run)")
    add(
        "--inject",
        choices=(*INJECTIONS, "none"),
        action="append",
        metavar="NAME",
        help=f"foreign code that uses the caches, may be repeated: {', '.join(INJECTIONS)} or none (default: all)",
    )
    add("--json", action="store_true", help="print the figures as JSON, memory in bytes")
    add("--fleet", action="store_true", help="soak a cache that several processes share")
    add("--store", metavar="URL", help="with --fleet: the server to use (default: one that is started for it)")
    parser.set_defaults(run=run)


def _injections(named: Sequence[str] | None) -> tuple[Injection, ...]:
    return INJECTIONS if named is None else tuple(each for each in INJECTIONS if each in named)


def run(args: argparse.Namespace) -> int:
    """Soak and report; 1 if a promise was broken."""
    chosen = random.SystemRandom().randrange(SEEDS) if args.seed is None else args.seed
    if args.fleet:
        return _run_fleet(args, chosen)
    if args.store is not None:
        raise CommandError("--store is for a fleet: give --fleet too")
    found = find(args.runtime, play_on)
    names = tuple(found.parts)
    with _ticking(args.seconds, f"{', '.join(names)}: seed {chosen}") as tick:
        soaked = soak_side_by_side(names, args.seconds, chosen, tick, _injections(args.inject))
    report = SoakReport(args.seconds, chosen, tuple(soaked), found.left_out)
    sys.stdout.write(as_json(report) if args.json else show(report))
    sys.stdout.flush()
    return 1 if report.violations else 0


def _run_fleet(args: argparse.Namespace, chosen: int) -> int:
    if args.runtime != "all" or args.inject is not None:
        raise CommandError("--runtime and --inject are not for a fleet: leave them out, or --fleet")
    with _ticking(args.seconds, f"a fleet: seed {chosen}") as tick:
        soaked = soak_fleet(args.seconds, chosen, store=args.store, tick=tick)
    say = soaked_fleet.as_json if args.json else soaked_fleet.as_text
    sys.stdout.write(say(soaked, args.seconds))
    sys.stdout.flush()
    return 1 if soaked.violations else 0


@contextmanager
def _ticking(seconds: float, what: str) -> Iterator[Callable[[float], None]]:
    """Yields what is to be told now and then how many of the seconds have passed."""
    with progress(int(seconds)) as announce:
        shown = -1

        def tick(passed: float) -> None:
            nonlocal shown
            while shown < min(passed, seconds) - 1:
                shown += 1
                announce(what)

        yield tick
