"""`python -m tests.benchmarks [SECTION ...]`: measures, prints tables, writes JSON and the plots of docs/."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Final

from tests.benchmarks import goals, report
from tests.benchmarks.results import Plan, Result

SECTIONS: Final = ("hit", "miss", "join", "herd", "writes", "memory", "decorator", "imports", "growth", "scaling", "sale")


def main(arguments: list[str]) -> int:
    """Run the sections that were asked for; all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer rounds, smaller numbers")
    parser.add_argument("--callgrind", action="store_true", help="count instructions too (needs valgrind)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"unknown section {', '.join(unknown)}: give some of {', '.join(SECTIONS)}")
    plan = Plan(quick=options.quick, callgrind=options.callgrind)
    sys.stdout.write(report.machine() + "\n")
    figures: dict[str, float] = {}
    for name in options.sections or SECTIONS:
        start = time.monotonic()
        run: Callable[[Plan], Result] = import_module(f"tests.benchmarks.{name}").run
        result = run(plan)
        figures |= result.figures
        for table in result.tables:
            sys.stdout.write("\n" + report.markdown(table))
        sys.stdout.write(f"\n({name}: {time.monotonic() - start:.0f} s)\n")
        sys.stdout.flush()
    sys.stdout.write("\n" + report.markdown(goals.judge(figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
