"""The processes of a fleet under controlled schedules: small scenes in every order, and a large one by luck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from herdless._shared.base import Shared
from herdless._shared.trust import Trust
from herdless_core._fleet import requests, session
from herdless_verify.fleet import SCENES, Scene, every_order, walks
from herdless_verify.fleet.scenes import LARGE
from tests.command import fleet_mistakes

STATES = {
    "get, get": 188,
    "get, invalidate": 1822,
    "put, get": 1084,
    "expire, get": 182,
    "a late holder": 3217,
    "the holder is killed": 472,
    "callers leave": 1906,
    "a reply is lost": 336,
    "the record is forgotten": 826,
}
"""How many there are. The other scenes have many more: `python -m herdless_verify.fleet` tries them."""

WALKS = 1_500
MOST_WALKS = 5_000
"""In which a mistake is found, mostly among the first."""


@pytest.mark.parametrize("name", STATES)
def test_every_order_of_two_processes_keeps_what_is_promised(name: str) -> None:
    """Replies and messages are late, lost and overtaken in all ways that there are; a scene that shrinks shows here."""
    found = every_order(SCENES[name])
    assert (found.violation, found.path) == ("", ())
    assert found.states == STATES[name]
    assert found.ends > 0


def test_three_processes_keep_what_is_promised_in_orders_by_luck() -> None:
    """With kills, lost messages, lost replies, changes and refreshes: whatever no small scene has together."""
    found = walks(LARGE, WALKS, seed=1)
    assert (found.violation, found.path) == ("", ())
    assert found.ends == WALKS


@pytest.mark.parametrize(
    ("mistake", "promise"),
    [
        (fleet_mistakes.no_fence, "NoStaleSet"),
        (fleet_mistakes.no_trust, "NoStaleRead"),
        (fleet_mistakes.no_drop, "NoStaleRead"),
    ],
)
def test_a_rule_that_is_left_out_is_missed(
    mistake: Callable[[], None], promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that finds nothing in a fleet without fence, trust or drop would find nothing in any."""
    for owner, name in ((session, "lead"), (Trust, "heard"), (Trust, "look"), (Trust, "lost"), (Shared, "_told")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # so that it is as before at the end
    mistake()
    found = walks(LARGE, MOST_WALKS, seed=1)
    assert found.violation.startswith(promise)
    assert found.path != ()


def test_a_claim_that_comes_late_and_is_not_fenced_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller is gone, and all would wait for the lease of a load that nobody runs."""

    def without_fence(*asked: Any) -> requests.Claim | None:
        claim = requests.claim_in(*asked)
        return claim and replace(claim, before=None)

    monkeypatch.setattr("herdless_verify.fleet.process.claim_in", without_fence)
    assert every_order(SCENES["callers leave"]).violation.startswith("nobody leads what is claimed")


def test_who_waits_without_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that would wait for ever, since its place is never woken, must not look like an end."""
    monkeypatch.setattr("herdless_verify.fleet.world.World._moves_of_run", lambda *_: iter(()))
    assert every_order(SCENES["get, get"]).violation == "EveryGetAnswered: somebody waits without end"


def test_a_scene_too_large_is_told() -> None:
    """Instead of an answer about a part of it, or a search for days."""
    with pytest.raises(ValueError, match="more than 100 states"):
        every_order(Scene(intents=(("get", "get"), ("get", "put"))), most=100)
