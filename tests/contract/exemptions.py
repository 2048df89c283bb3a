"""Scenarios that cannot apply to a runtime, with the reason: the only way not to run one there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NO_CANCELLATION = "a thread cannot be cancelled: a load that nobody waits for goes on, is joined and is stored"

EXEMPT: Final[Mapping[str, Mapping[str, str]]] = {
    "test_no_doomed_join_after_the_last_waiter": {"threads": _NO_CANCELLATION},
}
