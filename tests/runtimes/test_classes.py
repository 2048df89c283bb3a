"""Which class a cache is of, and what a class of one's own has to have."""

from __future__ import annotations

from typing import Any

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.adapter import BaseCache, RunningLoad

CLASSES: tuple[Any, ...] = (herdless.asyncio.Cache, herdless.threads.Cache, herdless.trio.Cache)


def test_cache_is_an_instance_of_its_own_class_and_of_no_other_adapter_s() -> None:
    """Compiled too, and whatever was asked before: a program that serves two runtimes tells their caches apart."""
    for made in CLASSES:
        cache = made(str.upper)
        for _ in range(2):
            assert isinstance(cache, BaseCache)
            assert [isinstance(cache, each) for each in CLASSES] == [each is made for each in CLASSES]


def test_adapter_that_lacks_a_method_is_told_which() -> None:
    """Where it is made, and not when the first load would have to be started."""

    class Half(BaseCache[str, str, RunningLoad]):
        """An adapter that somebody has begun to write."""

        def _launch(self, flight: RunningLoad) -> None:
            """Nothing yet."""

        def _arm(self, flight: RunningLoad) -> None:
            """Nothing yet."""

    with pytest.raises(TypeError, match=r"Half is no adapter yet: it has to write _settle, _cancel$"):
        Half(str.upper, RunningLoad)
