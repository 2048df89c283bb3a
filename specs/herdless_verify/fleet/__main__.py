"""Every order of the small scenes, and some of the large one: `python -m herdless_verify.fleet`."""

from __future__ import annotations

import argparse
import sys
import time

from herdless._command._arguments import count, seed
from herdless_verify.fleet.scenes import LARGE, SCENES
from herdless_verify.fleet.search import Found, every_order, walks

WALKS = 1_000


def main() -> int:
    """Search, and say what was found; 1 where something does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m herdless_verify.fleet", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"one of: {'; '.join(SCENES)} (default: all)")
    parser.add_argument(
        "--walks", type=count, default=WALKS, metavar="N", help=f"of the large one (default: {WALKS:,})"
    )
    parser.add_argument("--seed", type=seed, default=1, metavar="N", help="what to draw them from (default: 1)")
    arguments = parser.parse_args()
    for name in arguments.scenes:
        if name not in SCENES:
            parser.error(f"SCENE={name!r} is not accepted: give one of: {'; '.join(SCENES)}")
    is_broken = False
    for name in arguments.scenes or SCENES:
        began = time.process_time()
        is_broken |= _tell(name, every_order(SCENES[name]), began)
    if not arguments.scenes:
        began = time.process_time()
        is_broken |= _tell(f"{arguments.walks} walks", walks(LARGE, arguments.walks, arguments.seed), began)
    return int(is_broken)


def _tell(name: str, found: Found, began: float) -> bool:
    seconds = time.process_time() - began
    verdict = found.violation or "holds"
    lines = [f"{name:24} {found.states:9,} states {found.ends:7,} ends {seconds:6.1f} s  {verdict}"]
    lines += [f"  {move[0]} {'' if move[1] < 0 else move[1]} {move[2] or ''}".rstrip() for move in found.path]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return bool(found.violation)


if __name__ == "__main__":
    sys.exit(main())
