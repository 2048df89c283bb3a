"""The two kinds of runtimes: those in which callers await, and those in which their thread or greenlet waits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from herdless_verify.contract.parts import Caller, Load
from herdless_verify.contract.world import Main, Story, World

T = TypeVar("T")


class AsyncWorld(World):
    """A runtime in which `get` is awaited. A driver also defines `run`: it has to start the event loop."""

    async def loader(self, key: Any, *given: Any) -> Any:
        """Park, then do as the scenario says."""
        load = self.begin_load(key, *given)
        await self.park(load)
        assert load.action is not None
        result = load.action()
        return await result if inspect.isawaitable(result) else result

    async def park(self, load: Load) -> None:
        """Wait until the load is released; with `ignores_cancellation`, whatever comes."""
        while load.action is None:
            try:
                await load.spot.wait()
            except self.cancellation:
                load.was_cancelled = True
                if not self.ignores_cancellation:
                    raise

    def act(self, story: Story) -> Callable[[], Any]:
        """The story is a coroutine function of the runtime already."""
        return lambda: story(self.cache.get)

    def body_of(self, caller: Caller, call: Callable[[], Any]) -> Callable[[], Any]:
        """A coroutine function that ends by its own cancellation as the runtime expects of it."""

        async def body() -> None:
            try:
                caller.answer(await call())
            except BaseException as error:
                self.end_call(caller, error)
                if isinstance(error, self.cancellation):
                    raise

        return body


class BlockingWorld(World):
    """A runtime in which `get` returns when the value is there. The scenario itself runs where the test does."""

    def run(self, main: Main) -> None:
        """Nothing has to be started."""
        run_at_once(main())

    def loader(self, key: Any, *given: Any) -> Any:
        """Park, then do as the scenario says."""
        load = self.begin_load(key, *given)
        self.park(load)
        assert load.action is not None
        return load.action()

    def park(self, load: Load) -> None:
        """Wait until the load is released; with `ignores_cancellation`, whatever comes."""
        while load.action is None:
            try:
                load.spot.wait()
            except self.cancellation:
                load.was_cancelled = True
                if not self.ignores_cancellation:
                    raise

    def act(self, story: Story) -> Callable[[], Any]:
        """The story never suspends: its `get` comes back with the value."""

        async def get(key: Any) -> Any:
            return self.cache.get(key)

        return lambda: run_at_once(story(get))

    def body_of(self, caller: Caller, call: Callable[[], Any]) -> Callable[[], Any]:
        """A function that raises nothing."""

        def body() -> None:
            try:
                caller.answer(call())
            except BaseException as error:  # noqa: BLE001  # the scenario looks at it
                self.end_call(caller, error)

        return body


def run_at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, as all do where waiting blocks the thread."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # typeshed: StopIteration.value is Any
    coroutine.close()
    raise AssertionError("a coroutine awaited what the world does not offer")
