"""herdless: a cache without the thundering herd.

Import the cache of your runtime: `from herdless.asyncio import Cache`, `from herdless.trio import Cache`,
`from herdless.threads import Cache`. What all of them share is here.
"""

from herdless_core import (
    CacheClosed,
    HerdlessError,
    LoadCancelled,
    Loaded,
    LoadError,
    LoadTimeout,
    MisuseError,
    Policy,
    PolicyError,
    ReentrantLoad,
    RemoteLoadError,
    Stats,
    TooManyWaiters,
    WrongEventLoop,
)

__all__ = [
    "CacheClosed",
    "HerdlessError",
    "LoadCancelled",
    "LoadError",
    "LoadTimeout",
    "Loaded",
    "MisuseError",
    "Policy",
    "PolicyError",
    "ReentrantLoad",
    "RemoteLoadError",
    "Stats",
    "TooManyWaiters",
    "WrongEventLoop",
]
