"""Where the caches of a fleet keep their records: `store=` of a SharedCache.

`RedisStore` is for Redis 6.2 and later and for Valkey, and needs the extra `redis`; `PostgresStore` needs the extra
`postgres`. `MemoryStore` is for tests, and for several caches in one process. A store of your own derives from `Store`,
and its connections from `SyncConnection` or `AsyncConnection`; what these leave to you, and what is lost where you
leave it out, stands in each method. Whether it keeps its word, `herdless.testing.store` finds out.
"""

from herdless.stores._memory import MemoryStore
from herdless.stores._postgres import PostgresStore
from herdless.stores._protocol import (
    AsyncConnection,
    AsyncListener,
    Heard,
    Store,
    SyncConnection,
    SyncListener,
    Told,
)
from herdless.stores._redis import RedisStore
from herdless_core import StoreDown

__all__ = [
    "AsyncConnection",
    "AsyncListener",
    "Heard",
    "MemoryStore",
    "PostgresStore",
    "RedisStore",
    "Store",
    "StoreDown",
    "SyncConnection",
    "SyncListener",
    "Told",
]
