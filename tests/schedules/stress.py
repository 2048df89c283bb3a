"""Real threads for a while, switched as often as the interpreter can: `python -m tests.schedules.stress`.

What a scheduler cannot show: the interpreter's own switches, between any two instructions, and on a free-threaded
build threads that really run at once. Rounds are checked like the scheduled runs: trace, oracle, linearizability. Such
a run does not repeat; when it finds something, look for it with the scheduler.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from typing import Final

from herdless.testing import History, Trace, assert_linearizable, assert_trace_valid
from herdless.threads import Cache
from tests.schedules.oracle import Made, Oracle

THREADS: Final = 4
ACTIONS: Final = 5
STUCK_SECONDS: Final = 30.0


def one_round(seed: int) -> int:
    """Some threads do random things with one key; returns how many steps that took."""
    dice = random.Random(seed)
    trace, history = Trace(), History()
    oracle = Oracle(time.monotonic_ns)
    errors: list[BaseException] = []
    gate = threading.Barrier(THREADS)

    def load(key: str) -> Made:
        made = oracle.load_begins(key)
        return history.load(lambda: made)

    cache = Cache(load, observe=trace)

    def get() -> None:
        caller = oracle.begins("a")
        oracle.answered(caller, history.get(lambda: cache.get("a")))

    def invalidate() -> None:
        with oracle.removing("a"), history.during("invalidate"):
            cache.invalidate("a")

    def put() -> None:
        made = oracle.put("a")
        with oracle.removing("a", made), history.during("put", made):
            cache.put("a", made)

    def body(plan: list[int]) -> None:
        try:
            gate.wait(STUCK_SECONDS)
            for action in plan:
                (get, get, get, invalidate, put)[action]()
        except BaseException as error:  # noqa: BLE001  # raised again below, in the main thread
            errors.append(error)

    plans = [[dice.randrange(5) for _ in range(ACTIONS)] for _ in range(THREADS)]
    threads = [threading.Thread(target=body, args=(plan,), daemon=True) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(STUCK_SECONDS)
        if thread.is_alive():
            raise AssertionError(f"round {seed}: a thread hangs\n{trace}")
    if errors:
        raise AssertionError(f"round {seed}: {errors[0]}\n{trace}") from errors[0]
    assert_trace_valid(trace, has_ended=True)
    assert_linearizable(history)
    return len(trace)


def main() -> None:
    """Run rounds for a while and say what was run."""
    parser = argparse.ArgumentParser(description="Stress the cache for threads with real threads.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (default: 60)")
    seconds = parser.parse_args().seconds
    is_gil_on = getattr(sys, "_is_gil_enabled", lambda: True)()
    sys.setswitchinterval(1e-6)
    end = time.monotonic() + seconds
    rounds = steps = 0
    while time.monotonic() < end:
        steps += one_round(rounds)
        rounds += 1
    version = ".".join(map(str, sys.version_info[:3]))
    build = "with the GIL: threads took turns" if is_gil_on else "free-threaded: threads ran at once"
    print(f"{rounds} rounds, {steps} steps, no violation. Python {version}, {build}.")  # noqa: T201  # the command's answer


if __name__ == "__main__":
    main()
