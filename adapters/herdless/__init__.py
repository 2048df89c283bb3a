"""herdless: a cache without the thundering herd.

Import the cache of your runtime: `from herdless.asyncio import Cache`, `from herdless.trio import Cache`,
`from herdless.threads import Cache`. What all of them share is here.
"""

from types import BuiltinFunctionType
from typing import Final

from herdless_core import (
    NOT_MODIFIED,
    CacheClosed,
    HerdlessError,
    LoadCancelled,
    Loaded,
    LoadError,
    LoadTimeout,
    MisuseError,
    NoLoader,
    Policy,
    PolicyError,
    Previous,
    ReentrantLoad,
    RemoteLoadError,
    Stats,
    StoreDown,
    TooManyLoads,
    TooManyWaiters,
    transition,
)

__all__ = [
    "NOT_MODIFIED",
    "CacheClosed",
    "HerdlessError",
    "LoadCancelled",
    "LoadError",
    "LoadTimeout",
    "Loaded",
    "MisuseError",
    "NoLoader",
    "Policy",
    "PolicyError",
    "Previous",
    "ReentrantLoad",
    "RemoteLoadError",
    "Stats",
    "StoreDown",
    "TooManyLoads",
    "TooManyWaiters",
    "compiled",
]

compiled: Final[bool] = isinstance(transition, BuiltinFunctionType)
"""Whether this is the wheel that was compiled to C (docs/performance.md). Both do the same."""
