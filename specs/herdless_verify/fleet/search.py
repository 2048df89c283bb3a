"""Every order in which a scene can go, each state once; or orders by luck."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, final

from herdless_verify.fleet.scenes import Scene
from herdless_verify.fleet.world import MISFORTUNES, Move, Violation, World

MOST_MOVES: Final = 400
"""Of a walk, before everything has to come to its end."""

WEIGHTS: Final = dict.fromkeys(MISFORTUNES, 1) | {"begin": 2, "tick": 3, "beat": 4}
"""How likely a walk makes a move; 8 for all others, so that what was begun mostly comes to its end."""


@final
@dataclass(frozen=True, slots=True)
class Found:
    """What came of it."""

    states: int
    """That were come to: different ones, or by walks all."""
    ends: int
    """How often nothing was left to happen, and everybody was answered."""
    violation: str = ""
    """What does not hold; empty where all does."""
    path: tuple[Move, ...] = ()
    """The moves that lead there."""


def every_order(scene: Scene, *, most: int = 1_000_000) -> Found:
    """Try every order of the scene's moves. Raises ValueError for a scene of more states than `most`."""
    known: set[bytes] = set()
    ends = 0
    # Each entry is a way, whose last move has not been made. The world of the last way is kept, and goes on.
    left: list[tuple[Move, ...]] = [()]
    world, done = World(scene), tuple[Move, ...]()
    while left:
        path = left.pop()
        if path[:-1] != done or not path:
            world = repeated(scene, path[:-1])
        done = path
        try:
            if path:
                world.do(path[-1])
            key = blake2b(world.snapshot().encode(), digest_size=16).digest()
            if key in known:
                continue
            known.add(key)
            if len(known) > most:
                raise ValueError(f"there are more than {most:,} states")
            moves = world.moves()
            left.extend((*path, move) for move in moves)
            if not any(move[0] not in {"tick", "beat"} for move in moves):
                ends += 1
                repeated(scene, path).settle()
        except Violation as broken:
            return Found(len(known), ends, str(broken), path)
    return Found(len(known), ends)


def walks(scene: Scene, number: int, seed: int) -> Found:
    """So many orders by luck, each from a seed of its own."""
    states = 0
    for walk in range(number):
        luck = random.Random(f"{seed}, {walk}")
        path: list[Move] = []
        world = World(scene)
        try:
            while (moves := world.moves()) and len(path) < MOST_MOVES:
                (move,) = luck.choices(moves, [WEIGHTS.get(each[0], 8) for each in moves])
                path.append(move)
                world.do(move)
                states += 1
            world.settle()
        except Violation as broken:
            return Found(states, walk, str(broken), tuple(path))
    return Found(states, number)


def repeated(scene: Scene, path: Sequence[Move]) -> World:
    """The world after these moves, which have been judged already."""
    world = World(scene)
    world.is_judging = False
    for move in path:
        world.do(move)
    world.is_judging = True
    return world
