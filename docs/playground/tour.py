"""Five races that caches lose, each as buttons of the bench; and what other caches do there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from docs.playground.bench import Bench
from herdless_core import Policy, PolicyOptions


@final
@dataclass(frozen=True, slots=True)
class Race:
    """One race."""

    name: str
    policy: PolicyOptions
    moves: tuple[tuple[str, str], ...]
    """What is pressed, and what to see in it."""
    elsewhere: str
    """What other caches do there, with the source."""
    sources: tuple[str, ...]
    """Addresses of the issues that it names; what was measured is in docs/explanation/compared.md."""
    told: Mapping[str, str]
    """What each caller has been told at the end."""
    held: str
    """The value that is held at the end; empty for none."""


RACES: Final = (
    Race(
        "Invalidate during a load",
        {"ttl": 60},
        (
            ("get Ann", "Ann asks. Load 1 starts and reads the row: v1."),
            ("row", "Somebody changes the row to v2, and commits."),
            ("invalidate", "And invalidates. Load 1 is on its way with v1; the entry leaves its key at once."),
            ("get Ben", "Ben asks after the invalidation. He must not get v1: load 2 starts, and reads v2."),
            ("load 1 gives", "Load 1 ends. Ann had asked before and gets v1. Nothing of it is stored."),
            ("load 2 gives", "Load 2 ends. Ben gets v2, and v2 is what is kept."),
            ("get Eve", "Eve's lookup is a hit: v2."),
        ),
        "cachetools, dogpile.cache, cashews, cachebox, aiocache, diskcache and onecache store v1 when load 1 "
        "ends, after the invalidation, and serve it for a whole ttl (measured). "
        "FusionCache had the fault too: its issue 625.",
        ("https://github.com/ZiggyCreatures/FusionCache/issues/625",),
        {"Ann": "v1", "Ben": "v2", "Eve": "v2"},
        "v2",
    ),
    Race(
        "The last waiter leaves",
        {"ttl": 60},
        (
            ("get Ann", "Ann asks, load 1 starts."),
            ("get Ben", "Ben joins it."),
            ("leave Ann", "Ann's client hangs up. She takes only herself away: Ben still waits, the load goes on."),
            ("leave Ben", "Ben leaves too. Nobody waits: the load is cancelled, and the key is free again."),
            ("get Eve", "Eve asks while load 1 still unwinds. She must not join what was cancelled: load 2 starts."),
            (
                "load 1 fails",
                "Load 1 reports its end. It is not the entry's load: nothing happens to load 2 or Eve.",
            ),
            ("load 2 gives", "Eve gets her value."),
        ),
        "In cashews, cachebox, theine and moka-py the first caller's cancellation cancels or poisons the others "
        "(measured). In Tailscale's singleflight a new caller joined the load that was being cancelled and got the "
        "cancellation: its issue 18919.",
        ("https://github.com/tailscale/tailscale/issues/18919",),
        {"Ann": "left", "Ben": "left", "Eve": "v1"},
        "v1",
    ),
    Race(
        "A late result",
        {"ttl": 60, "load_timeout": 10},
        (
            ("get Ann", "Ann asks. Load 1 reads v1, and hangs."),
            ("time 10", "Ten seconds pass, its load_timeout. The load is given up, and Ann gets LoadTimeout."),
            ("row", "The row changes to v2."),
            ("get Ben", "Ben asks: load 2 starts and reads v2."),
            ("load 2 gives", "Load 2 is quick. Ben gets v2, which is kept."),
            ("load 1 gives", "Now load 1 arrives, with v1. Its generation is not the entry's: dropped."),
            ("get Eve", "Eve gets v2."),
        ),
        "A cache that stores whatever arrives puts v1 over v2: so do cachetools, cashews and dogpile.cache. In Go's "
        "singleflight the late end of load 1 removed the newer load by its key, and a third one started: "
        "golang/go issue 31420.",
        ("https://github.com/golang/go/issues/31420",),
        {"Ann": "LoadTimeout: the load did not end within load_timeout=10 seconds", "Ben": "v2", "Eve": "v2"},
        "v2",
    ),
    Race(
        "A refresh against an invalidation",
        {"ttl": 60, "stale_while_revalidate": 60},
        (
            ("get Ann", "Ann asks, load 1 reads v1."),
            ("load 1 gives", "v1 is kept for 60 seconds, and another 60 as stale."),
            ("time 60", "A minute later it is stale."),
            ("get Ben", "Ben gets v1 at once, as stale. Load 2 refreshes behind his back, and reads v1 again."),
            ("row", "The row changes to v2."),
            ("invalidate", "And is invalidated. Nobody waits for load 2: it is cancelled."),
            ("load 2 gives", "It was too late to stop it: load 2 gives v1. Nothing is stored."),
            ("get Eve", "Eve asks. Load 3 starts, and reads v2."),
            ("load 3 gives", "Eve gets v2."),
        ),
        "A refresh that writes unconditionally brings v1 back to life after it was invalidated: FusionCache's issue "
        "628. In Guava the key was never loaded again after it: its issue 2971.",
        (
            "https://github.com/ZiggyCreatures/FusionCache/issues/628",
            "https://github.com/google/guava/issues/2971",
        ),
        {"Ann": "v1", "Ben": "v1, stale", "Eve": "v2"},
        "v2",
    ),
    Race(
        "Eviction of a key that is being loaded",
        {"ttl": 60},
        (
            ("get Ann", "Ann asks, load 1 starts."),
            ("evict", "The cache is full and wants the room of this key. Ann waits for it: refused."),
            ("get Ben", "Ben asks. He joins load 1, where an evicted key would have started a second load."),
            ("load 1 gives", "One load, and both get its value."),
            ("evict", "Now that nobody waits the entry may go."),
        ),
        "async-lru evicts entries that are being loaded, so the next caller starts a second load (measured). In lru-"
        "cache the waiter got undefined: isaacs/node-lru-cache issue 274.",
        ("https://github.com/isaacs/node-lru-cache/issues/274",),
        {"Ann": "v1", "Ben": "v1", "Eve": ""},
        "",
    ),
)


def bench_of(race: Race) -> Bench:
    """A bench on which nothing has been pressed yet."""
    return Bench(Policy(**race.policy))


def tour_view() -> list[Mapping[str, Any]]:
    """The races, as JSON can say them."""
    return [
        {
            "name": race.name,
            "policy": ", ".join(f"{name}={value}" for name, value in race.policy.items()),
            "moves": [{"press": press, "see": see} for press, see in race.moves],
            "elsewhere": race.elsewhere,
            "sources": race.sources,
        }
        for race in RACES
    ]
