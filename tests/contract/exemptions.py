"""Scenarios that cannot apply to a runtime, with the reason: the only way not to run one there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NO_CANCELLATION = "a thread cannot be cancelled: a load that nobody waits for goes on, is joined and is stored"
_CANCELS = "a load that nobody waits for is cancelled, so none is left to join"
_ENDS_THE_RUN = "an exception that is no Exception ends the cache's nursery too: tests/runtimes/test_trio.py has it"

EXEMPT: Final[Mapping[str, Mapping[str, str]]] = {
    "test_no_doomed_join_after_the_last_waiter": {"threads": _NO_CANCELLATION},
    "test_04_cancelled_load_that_unwinds_is_not_joined": {"threads": _NO_CANCELLATION},
    "test_04_left_load_that_goes_on_is_joined": {"asyncio": _CANCELS, "trio": _CANCELS},
    "test_load_that_nobody_waits_for_is_cancelled": {"threads": _NO_CANCELLATION},
    "test_load_that_nobody_waits_for_is_stored": {"asyncio": _CANCELS, "trio": _CANCELS},
    "test_invalidate_cancels_an_unawaited_refresh": {"threads": _NO_CANCELLATION},
    "test_load_timeout_cancels_the_load": {"threads": _NO_CANCELLATION},
    "test_09_abnormal_end_settles_the_waiters": {"trio": _ENDS_THE_RUN},
    "test_10_abnormal_end_leaves_no_orphan": {"trio": _ENDS_THE_RUN},
}
