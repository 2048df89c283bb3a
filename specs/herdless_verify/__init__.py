"""herdless-verify: what checks the cache herdless, and the policies that it is used with.

    from herdless_core import Policy
    from herdless_verify import explore

    explored = explore(Policy(ttl=60, stale_while_revalidate=300))
    assert explored.holds, explored

What `__all__` names here is public, and so is `herdless_verify.contract`, the contract suite for adapters. The rest
serves the commands `herdless verify`, `herdless soak` and `herdless trace --tlc`, and may change in any version:

    contract       every promise and decision as a scenario, for any adapter; needs pytest
    exploration    every state that one key can reach, with the real machine in it
    tlc            the TLA+ specification under TLC, and the code and recorded traces compared with it
    crosshair      contracts of one step, confirmed over all paths
    mistakes       single edits of machine and specification that a check must refute
    checkers       the three of `herdless verify`, with one face
    mutants        which checker finds which mistake
    soak           the three runtimes under load and faults
    command        the subcommands
    diagram        the moves of an entry, as a picture
    oracle         what becomes of an entry, by the design's own table
    files          where the `.tla` and `.toml` files are

The specification lies in specs/, beside this package:

    CacheEntry.tla            the machine of core/herdless_core/_machine.py, and the world around one key
    CacheEntryInv.tla         what it promises
    Reach.tla                 what must be possible, and what is not promised
    Keyspace.tla              what spans keys: generations and room
    Tags.tla                  one tag across keys: what it invalidates, and who may be told what
    Durable.tla               entries in storage: instances that die or are replaced, alarms, readers
    Pool.tla                  the threads on which loads run: turns, refreshes, loads that need others or hang
    Watched.tla               the same, told step by step, and with mistakes
    TraceCacheEntry.tla       whether recorded traces are behaviours of it
    TraceFleet.tla            whether what a real fleet wrote is a behaviour of Fleet.tla
    configurations.toml       every run of the model checker
    mutants.toml              mistakes that must be found
"""

from __future__ import annotations

from typing import Final

from herdless_verify.exploration.explored import Explored, explore
from herdless_verify.exploration.search import Violation

__all__: Final = ["Explored", "Violation", "explore"]
