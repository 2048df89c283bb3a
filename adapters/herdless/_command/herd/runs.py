"""Who asks for which key, and when; and what callers, origin and cache saw of it, each by itself."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from time import monotonic_ns, perf_counter, sleep
from types import CoroutineType
from typing import Final, TypeAlias, final

from herdless._command._errors import LoaderFailed, in_a_line
from herdless._command.herd.origin import Origin
from herdless_core import StartLoad, Step, shown

PLAIN: Final = "plain ttl"
CACHES: Final = (PLAIN, "herdless")
ONE_EACH: Final = "one each"
"""A cache of herdless in each process."""
FLEET: Final = "fleet"
"""One cache of herdless for all processes."""

AsyncGet: TypeAlias = Callable[[str], Awaitable[object]]
Pause: TypeAlias = Callable[[float], Awaitable[object]]

COLD_TTL_SECONDS: Final = 3600.0
"""Longer than any run, so that the cold herd is one generation."""
MIX_TTL_SECONDS: Final = 0.4
MIX_SECONDS: Final = 1.5

Visit: TypeAlias = tuple[float, str]
"""One lookup: so many seconds after the start, and the key."""


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """What the callers of one phase do, one lookup each, with values that live for `ttl` seconds."""

    phase: str
    about: str
    ttl: float
    visits: tuple[Visit, ...]


def cold_herd(callers: int, key: str) -> Plan:
    """All callers at once, on one key that no cache knows."""
    return Plan("cold", f"Cold herd: {callers:,} callers at once on one key", COLD_TTL_SECONDS, ((0.0, key),) * callers)


def fleet_herd(callers: int, processes: int, key: str) -> Plan:
    """The same from several processes; each caller is of one of them."""
    about = f"Cold herd: {callers:,} callers at once on one key, in {processes:,} processes"
    return Plan("fleet", about, COLD_TTL_SECONDS, ((0.0, key),) * callers)


def mix(callers: int, keys: Sequence[str], seed: int) -> Plan:
    """Callers who come within MIX_SECONDS; the k-th key is asked for 1/k times as often as the first (Zipf)."""
    chance = random.Random(seed)
    times = [chance.uniform(0.0, MIX_SECONDS) for _ in range(callers)]
    asked = chance.choices(keys, [1 / rank for rank in range(1, len(keys) + 1)], k=callers)
    about = f"{callers:,} callers of {len(keys):,} keys in {MIX_SECONDS:g} s, ttl {MIX_TTL_SECONDS:g} s, seed {seed}"
    return Plan("mix", f"Mix with expiry: {about}", MIX_TTL_SECONDS, tuple(zip(times, asked, strict=True)))


@final
@dataclass(frozen=True, slots=True)
class Run:
    """The lists are written to from any thread: `append` and `extend` are atomic."""

    plan: Plan
    runtime: str
    cache: str
    origin: Origin
    latencies: list[float] = field(default_factory=list)
    """What the callers saw: seconds of each lookup."""
    loads: list[tuple[str, int, int]] = field(default_factory=list)
    """What the origin saw: the key, when the load began and when it ended, in nanoseconds."""
    begun: list[str] = field(default_factory=list)
    """What herdless says: the key of each generation that it began."""

    def observe(self, key: str, step: Step) -> None:
        """What the cache is given as `observe=`."""
        self.begun.extend([key for effect in step.effects if isinstance(effect, StartLoad)])

    def load(self, key: str) -> object:
        """What a cache is given as its sync loader."""
        with self._written_down(key):
            value = self.origin.load(key)
            if isinstance(value, CoroutineType):
                value.close()
                raise TypeError("it is no async function, but returned a coroutine: name the async function")
            return value

    async def load_async(self, key: str) -> object:
        """What a cache is given as its async loader."""
        with self._written_down(key):
            return await self.origin.load(key)

    @contextmanager
    def _written_down(self, key: str) -> Iterator[None]:
        began = monotonic_ns()
        try:
            yield
        except (Exception, SystemExit) as error:
            raise LoaderFailed(f"{self.origin.name} failed for the key {shown(key)}: {in_a_line(error)}") from error
        finally:
            self.loads.append((key, began, monotonic_ns()))

    def call(self, get: Callable[[str], object], visit: Visit, start: float) -> None:
        """One caller on a thread. start: seconds of `perf_counter`."""
        sleep(max(0.0, start + visit[0] - perf_counter()))
        began = perf_counter()
        get(visit[1])
        self.latencies.append(perf_counter() - began)

    async def call_async(self, get: AsyncGet, pause: Pause, visit: Visit, start: float) -> None:
        """One caller in a task. pause: the runtime's sleep."""
        await pause(max(0.0, start + visit[0] - perf_counter()))
        began = perf_counter()
        await get(visit[1])
        self.latencies.append(perf_counter() - began)

    def violations(self) -> Iterator[str]:
        """Every way in which herdless loaded a key more often than its generations allow; none when all is well."""
        if self.cache == PLAIN:
            return
        seen, begun = Counter(key for key, _, _ in self.loads), Counter(self.begun)
        for key in sorted(seen | begun):
            if seen[key] != begun[key]:
                yield f"{shown(key)}: the origin saw {seen[key]} loads, herdless began {begun[key]} generations"
        if self.cache == ONE_EACH:
            return
        # Nothing here supersedes a load, so none may begin before the last one of its key has ended.
        for key, loads in groupby(sorted(self.loads), lambda load: load[0]):
            if any(later[1] < earlier[2] for earlier, later in pairwise(loads)):
                yield f"two loads of {shown(key)} ran at the same time"
        if self.plan.phase != "mix" and len(self.loads) != 1:
            yield f"the herd on one cold key gave {len(self.loads)} origin queries instead of 1"
