"""The soak of a fleet: processes on a real server, a storm, a calm, and the judgement of all that was written down."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from herdless_core import Policy
from herdless_verify.soak.fleet.judge import Rules, Verdict, judged
from herdless_verify.soak.fleet.server import serving
from herdless_verify.soak.fleet.storm import COLOURS, KINDS, STALENESS, Kind, Setting, Storm

POLICIES: Final[tuple[dict[str, Any], ...]] = (
    {"ttl": 60},
    {"ttl": 1},
    {"ttl": 0.5, "stale_while_revalidate": 0.5, "stale_if_error": 1, "early_refresh": 0.5, "refresh_backoff": 0.1},
    {"ttl": 1, "negative_ttl": 0.2, "load_timeout": 0.3},
)


@final
@dataclass(frozen=True, slots=True)
class FleetSoaked:
    """What came of it."""

    seed: int
    seconds: float
    processes: int
    """Those included that were killed."""
    policy: dict[str, Any]
    lookups: int
    loads: int
    steps: int
    """Of the machine, in the records; every one was judged."""
    takeovers: int
    answers: dict[str, int]
    faults: dict[str, int]
    violations: int
    first_violation: str | None


def soak_fleet(
    seconds: float,
    seed: int,
    *,
    store: str | None = None,
    prepare: str = "",
    policy: dict[str, Any] | None = None,
    kinds: Mapping[Kind, int] = KINDS,
    colours: Sequence[str] = COLOURS,
    tick: Callable[[float], None] = lambda _passed: None,
) -> FleetSoaked:
    """Run a fleet for so many seconds, and judge it. Raises CommandError where there is no server.

    seconds: of the storm, without the beginning and the calm; seed: what to draw from; store: the URL of a server, or
    None for one of our own, and only keys of our own are touched there; prepare: `module:function`, called in each
    process before it begins; policy: the options of the caches, or None for one that is drawn; kinds: what is done
    to them, with weights; colours: of the processes; tick: is told now and then how many seconds have passed.
    """
    luck, began = random.Random(seed), time.monotonic()
    drawn = luck.choice(POLICIES)
    options = drawn if policy is None else policy
    with tempfile.TemporaryDirectory(prefix="herdless-fleet-") as folder, serving(store) as address:
        name = f"herdless-soak-{random.SystemRandom().getrandbits(48):012x}"
        storm = Storm(Setting(address, name, Path(folder), options, prepare, kinds, colours), luck)
        try:
            storm.rage(seconds, tick)
            storm.calm()
        finally:
            storm.close()
        written = [worker.written() for worker in storm.all]
        rules = Rules(Policy(**options), STALENESS, storm.bounds(), storm.unsure())
        verdict = judged(written, rules)
    complaints = [*storm.complaints, *verdict.complaints]
    return _soaked(seed, time.monotonic() - began, storm, options, verdict, complaints)


def _soaked(  # what is told of a run
    seed: int, seconds: float, storm: Storm, policy: dict[str, Any], verdict: Verdict, complaints: list[str]
) -> FleetSoaked:
    """complaints: of the storm and of the judge."""
    return FleetSoaked(
        seed=seed,
        seconds=seconds,
        processes=len(storm.all),
        policy=policy,
        lookups=verdict.lookups,
        loads=verdict.loads,
        steps=verdict.steps,
        takeovers=verdict.takeovers,
        answers=dict(sorted(verdict.answers.items())),
        faults=dict(sorted(storm.faults.items())),
        violations=len(complaints),
        first_violation=next(iter(complaints), None),
    )
