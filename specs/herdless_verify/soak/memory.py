"""How much memory the process holds, and whether it grows.

Samples are taken at the end of each round, when its cache is gone and the garbage is collected, so that all should be
as it was. Growth is the least of the last half of them less the least of the half before it, the first third, in which
the interpreter and the allocator warm up, being left out: what comes and goes does not count, what only comes does.

The resident set is what the system gave the process, in pages, and moves by megabytes without a leak. Python's own
blocks are counted exactly, and an object that is forgotten in each round is seen among them much earlier.
"""

from __future__ import annotations

import gc
import linecache
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

from herdless_core import Flight, RunningLoad
from herdless_verify.soak.findings import Memory

RSS_LIMIT: Final = 8 * 2**20
"""Bytes. A growth beyond is called a leak."""

BLOCKS_LIMIT: Final = 1_000
"""The same in blocks of Python's allocator, each an object or a part of one."""

_STATM: Final = Path("/proc/self/statm")


@final
class MemoryGauge:
    """Samples of one run."""

    def __init__(self) -> None:
        self._rss: Final[list[int]] = []
        self._blocks: Final[list[int]] = []

    def sample(self) -> None:
        """At the end of a round."""
        linecache.clearcache()  # the first traceback through a file keeps all its lines: 2,000 blocks that nobody lost
        gc.collect()
        self._blocks.append(sys.getallocatedblocks())
        rss = resident_bytes()
        if rss is not None:
            self._rss.append(rss)

    def memory(self) -> Memory:
        """What there is to say at the end of the run."""
        rss_growth = growth(self._rss) if self._rss else None
        return Memory(measured_by(), rss_growth, growth(self._blocks), self._rss[-1] if self._rss else None)


def leak(memory: Memory) -> str | None:
    """The complaint, where the memory grew more than it may."""
    if memory.rss_growth is not None and memory.rss_growth > RSS_LIMIT:
        return f"the resident set grew by {memory.rss_growth:,} bytes, more than {RSS_LIMIT:,}"
    if memory.blocks_growth > BLOCKS_LIMIT:
        return f"Python holds {memory.blocks_growth:,} blocks more than before, more than {BLOCKS_LIMIT:,}"
    return None


def growth(samples: Sequence[int]) -> int:
    """Of the second half over the first, each by its least, after a warm-up of a third; 0 where these are too few."""
    warm = samples[(len(samples) + 2) // 3 :]
    middle = len(warm) // 2
    return min(warm[middle:]) - min(warm[:middle]) if middle else 0


def living_flights() -> int:
    """How many flights, of the core and of adapters, are reachable from anything; garbage collected before."""
    kinds = (Flight, RunningLoad)
    return sum(issubclass(type(each), kinds) for each in gc.get_objects())  # isinstance would ask dead proxies


def resident_bytes() -> int | None:
    """The resident set now; where the system does not tell, its largest ever; None where not even that."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource
    except ImportError:
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def measured_by() -> str:
    """What `resident_bytes` reads."""
    if _STATM.exists():
        return "/proc/self/statm"
    return (
        "getrusage, the largest it ever was" if resident_bytes() is not None else "nothing: this system does not tell"
    )
