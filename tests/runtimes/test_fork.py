"""Whom a fork is told."""

from __future__ import annotations

import os

import pytest

from herdless._fork import survive_forks


class Told:
    """Notes what it is told. Like what is compiled, it cannot be referred to weakly."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold(self) -> None:
        """Before the fork."""
        self.told.append("hold")

    def release(self) -> None:
        """After it."""
        self.told.append("release")

    def restart(self) -> None:
        """In the child."""
        self.told.append("restart")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_what_cannot_be_referred_to_weakly_is_told_too() -> None:
    """A cache of the compiled library would otherwise leave the child with a lock that is held for ever."""
    survivor = Told()
    kept = survive_forks(survivor)
    child = os.fork()
    if child == 0:
        os._exit(survivor.told != ["hold", "restart", "release"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert survivor.told == ["hold", "release"]
    assert kept is not None
