"""Who asks for what, and how much may go wrong meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, final

Intent: TypeAlias = Literal["get", "invalidate", "put", "expire", "refresh"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The processes, each with what it asks for, one after the other but without waiting; and what may happen."""

    intents: tuple[tuple[Intent, ...], ...]
    policy: Mapping[str, Any] = field(default_factory=lambda: {"ttl": 600})
    ticks: int = 0
    """How often time goes on, while anything is under way."""
    tick: int = 1
    """By so many seconds. A lease and `staleness` are two."""
    kills: int = 0
    breaks: int = 0
    """How many connections on which messages come may break."""
    losses: int = 0
    """How many requests or replies may be lost."""
    forgets: int = 0
    """How often the store may let go of the record."""
    beats: int = 0
    """How often processes may ask the store whether all has arrived, beside the first time."""
    renewals: int = 0
    """How often leases may be renewed."""
    leaves: int = 0
    """How often all who wait in one process may leave."""
    deaf: frozenset[int] = frozenset()
    """The processes that are told nothing."""


SCENES: Final[Mapping[str, Scene]] = {
    "get, get": Scene(intents=(("get",), ("get",))),
    "get, invalidate": Scene(intents=(("get", "get"), ("invalidate",))),
    "put, get": Scene(intents=(("put",), ("get", "get"))),
    "expire, get": Scene(intents=(("expire",), ("get", "get")), policy={"ttl": 600, "stale_while_revalidate": 600}),
    "a late holder": Scene(intents=(("get",), ("get",)), ticks=1, tick=2),
    "a renewed lease": Scene(intents=(("get",), ("get",)), ticks=2, renewals=1),
    "the holder is killed": Scene(intents=(("get",), ("get",)), kills=1),
    "callers leave": Scene(intents=(("get",), ("get",)), leaves=1),
    "callers leave twice": Scene(intents=(("get",), ("get",)), leaves=2),
    "a reply is lost": Scene(intents=(("get",), ("get",)), losses=1),
    "the record is forgotten": Scene(intents=(("get",), ("get",)), forgets=1),
    "a change is told": Scene(intents=(("get", "get"), ("invalidate",)), ticks=2, beats=1),
    "a connection breaks": Scene(intents=(("get", "get"), ("invalidate",)), ticks=1, tick=2, breaks=1),
    "told nothing": Scene(intents=(("get", "get"), ("invalidate",)), ticks=1, tick=2, deaf=frozenset({0})),
}
"""Small ones, of which every order is tried."""

LARGE: Final = Scene(
    intents=(
        ("get", "get", "get", "invalidate", "get", "get", "get"),
        ("get", "get", "put", "get", "get", "get"),
        ("get", "expire", "get", "get", "refresh", "get", "get"),
    ),
    policy={"ttl": 6, "stale_while_revalidate": 2, "early_refresh": 0.75, "stale_if_error": 30, "soft_timeout": 1},
    ticks=10,
    kills=1,
    breaks=2,
    losses=1,
    forgets=1,
    beats=12,
    renewals=4,
    leaves=2,
)
"""One of which orders are drawn."""
