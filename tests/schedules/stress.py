"""One key for a while, with the interpreter's own switches: `python -m tests.schedules.stress`.

What a scheduler cannot show: switches between any two instructions, and on a free-threaded build threads that really
run at once. Rounds are checked like the scheduled runs: trace, oracle, linearizability. Such a run does not repeat;
when it finds something, look for it with the scheduler.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from herdless.threads import Cache
from tests.schedules.one_key import OneKey
from tests.schedules.oracle import Made
from tests.schedules.stress_loops import asyncio_round, trio_round

THREADS: Final = 4
ACTIONS: Final = 5
STUCK_SECONDS: Final = 30.0


def threads_round(seed: int) -> int:
    """Some threads do random things with one key; returns how many steps that took."""
    play = OneKey(seed)
    errors: list[BaseException] = []
    gate = threading.Barrier(THREADS)
    cache = Cache[str, Made](lambda _key: play.load(), observe=play.trace)

    def get() -> None:
        caller = play.oracle.begins("a")
        play.oracle.answered(caller, play.history.get(lambda: cache.get("a")))

    def body(actions: Sequence[int]) -> None:
        try:
            gate.wait(STUCK_SECONDS)
            for action in actions:
                (get, get, get, lambda: play.invalidate(cache), lambda: play.put(cache))[action]()
        except BaseException as error:  # noqa: BLE001  # raised again below, in the main thread
            errors.append(error)

    plans = [[play.dice.randrange(5) for _ in range(ACTIONS)] for _ in range(THREADS)]
    threads = [threading.Thread(target=body, args=(plan,), daemon=True) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(STUCK_SECONDS)
        if thread.is_alive():
            raise AssertionError(f"threads, round {seed}: a thread hangs\n{play.trace}")
    if errors:
        raise AssertionError(f"threads, round {seed}: {errors[0]}\n{play.trace}") from errors[0]
    return play.judged()


ROUNDS: Final[dict[str, Callable[[int], int]]] = {
    "threads": threads_round,
    "asyncio": asyncio_round,
    "trio": trio_round,
}


def main() -> None:
    """Run rounds for a while and say what was run."""
    parser = argparse.ArgumentParser(description="Stress the caches: real threads, tasks, and threads beside a loop.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (default: 60)")
    seconds = parser.parse_args().seconds
    is_gil_on = getattr(sys, "_is_gil_enabled", lambda: True)()
    sys.setswitchinterval(1e-6)
    end = time.monotonic() + seconds
    rounds: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    while time.monotonic() < end:
        for runtime, one_round in ROUNDS.items():
            steps[runtime] += one_round(rounds[runtime])
            rounds[runtime] += 1
    version = ".".join(map(str, sys.version_info[:3]))
    build = "with the GIL: threads took turns" if is_gil_on else "free-threaded: threads ran at once"
    done = "; ".join(f"{runtime}: {rounds[runtime]} rounds, {steps[runtime]} steps" for runtime in ROUNDS)
    print(f"{done}; no violation. Python {version}, {build}.")  # noqa: T201  # the command's answer


if __name__ == "__main__":
    main()
