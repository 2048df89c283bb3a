"""`python -m tests.benchmarks [SECTION ...]`: measures herdless beside its peers, and judges the goals."""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Final

import herdless
from tests.benchmarks import archive, goals, report
from tests.benchmarks.results import SECTIONS, Plan, Result

CALLGRIND: Final = "callgrind"


def main(arguments: list[str]) -> int:
    """Run the sections that were asked for; all of them by default."""
    options = _parse(arguments)
    machine = report.machine()
    sys.stdout.write(machine + "\n")
    names = list(options.sections or SECTIONS)
    if options.callgrind and CALLGRIND not in names:
        names.append(CALLGRIND)
    results = {name: _run(name, Plan(quick=options.quick)) for name in names}
    figures = {name: value for result in results.values() for name, value in result.figures.items()}
    sys.stdout.write("\n" + report.markdown(goals.judge(figures, compiled=herdless.compiled)))
    if options.json is not None:
        data = {name: archive.as_data(result, machine) for name, result in results.items()}
        options.json.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if options.docs:
        archive.keep(results, machine)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    known = (*SECTIONS, CALLGRIND)
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(known)}; default: all but the last"
    )
    parser.add_argument("--quick", action="store_true", help="the same rows from fewer rounds and smaller numbers")
    parser.add_argument("--callgrind", action="store_true", help="count instructions too (needs valgrind)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write tables and figures there")
    parser.add_argument(
        "--docs", action="store_true", help="put these sections and their plots into docs/performance.md"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.sections) - set(known))
    if unknown:
        parser.error(f"unknown section {', '.join(unknown)}: give some of {', '.join(known)}")
    if options.quick and options.docs:
        parser.error("--quick is not accepted beside --docs: the page shows complete runs only")
    return options


def _run(name: str, plan: Plan) -> Result:
    start = time.monotonic()
    result: Result = import_module(f"tests.benchmarks.{name}").run(plan)
    for table in result.tables:
        sys.stdout.write("\n" + report.markdown(table))
    sys.stdout.write(f"\n({name}: {time.monotonic() - start:.0f} s)\n")
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
