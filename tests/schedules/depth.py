"""How far the schedules are explored: seconds by default, minutes under `--hypothesis-profile=deep`."""

from __future__ import annotations

from hypothesis import settings

IS_DEEP = settings().max_examples >= 1_000


def within(bound: int) -> int | None:
    """The bound by default; two more under the deep profile."""
    return bound + 2 if IS_DEEP else bound


def times(ordinary: int) -> int:
    """So many seeds by default; thirty times as many under the deep profile."""
    return ordinary * 30 if IS_DEEP else ordinary
