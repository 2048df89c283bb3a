"""`python -m tests.benchmarks.guard`: fails when a hit, a miss or a join got dearer.

Dearer is: over a tenth more instructions than recorded.

What is compared is instructions per operation as a multiple of the floor's, counted in the same run: another compiler's
Python moves both. The baseline is kept for every minor version of Python; `--update` records it anew, which is for the
change that means to cost more, or costs less.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

from tests.benchmarks import instructions

BASELINE: Final = Path(__file__).with_name("baseline.json")
GUARDED: Final = ("hit", "miss", "join")
TOLERANCE: Final = 0.10

UPDATE: Final = "python -m tests.benchmarks.guard --update"


def main(arguments: list[str]) -> int:
    """The exit status: 0 when all is well, or when it could not be judged and may be skipped."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.guard", description=__doc__)
    parser.add_argument("--update", action="store_true", help="record what is measured now as the baseline")
    options = parser.parse_args(arguments)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    baselines: dict[str, dict[str, float]] = json.loads(BASELINE.read_text(encoding="utf-8"))
    missing = instructions.missing_tool()
    if missing is None and version not in baselines and not options.update:
        missing = f"there is no baseline for Python {version}; record one by `{UPDATE}`"
    if missing is not None:
        return _skip(missing)
    measured = multiples()
    if options.update:
        baselines[version] = measured
        BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        sys.stdout.write(f"recorded for Python {version}: {measured}\n")
        return 0
    return judge(measured, baselines[version])


def multiples() -> dict[str, float]:
    """Instructions of each guarded operation, as a multiple of its floor's."""
    floors = [instructions.FLOORS[operation] for operation in GUARDED]
    counts = instructions.count([*GUARDED, *floors])
    return {
        operation: round(counts[operation] / counts[floor], 3) for operation, floor in zip(GUARDED, floors, strict=True)
    }


def judge(measured: dict[str, float], baseline: dict[str, float]) -> int:
    """Print a verdict for each operation; the exit status, 1 where one is over the baseline by too much."""
    grown = False
    for operation, multiple in measured.items():
        growth = multiple / baseline[operation] - 1
        too_much = growth > TOLERANCE
        grown |= too_much
        verdict = f"MORE than {TOLERANCE:.0%} over" if too_much else "within"
        sys.stdout.write(
            f"{operation}: {multiple:.3f} x {instructions.FLOORS[operation]}, {growth:+.1%}: {verdict} the baseline\n"
        )
    if grown:
        sys.stdout.write(f"if that is meant to be, record it: {UPDATE}\n")
    return int(grown)


def _skip(reason: str) -> int:
    """Skipped with a reason; a failure where nothing may be skipped."""
    must_run = os.environ.get("HERDLESS_NO_SKIP") == "1"
    sys.stdout.write(f"{'FAILED' if must_run else 'skipped'}: {reason}\n")
    return int(must_run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
