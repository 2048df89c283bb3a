"""Many keys at once on asyncio: `get_many`, and the batches in which a bulk loader is called.

The loads of keys that are asked for in one turn of the loop are one batch: each runs in its own flight's task, puts its
key into the batch that is open, and waits. Nothing but the flights' own tasks is cancelled with a caller; a batch ends
when nobody is left in it.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import Future
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Generic, final
from weakref import WeakKeyDictionary

from herdless._asyncio_loads import AsyncioLoad, AsyncioLoads
from herdless._bulk import Answers, Batch, Batches, Given, distinct, mapping_of, told
from herdless.adapter import LOADING, K, Loader, awaitable
from herdless_core import NEVER
from herdless_core._reentrancy import begin_wait


@final
class AsyncioBatch(Batch[Future[Given]]):
    """Some keys that are loaded by one call, in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.load: Final = AsyncioLoad("a batch", 0, NEVER)
        """Stands for the call: whoever asks inside it for one of its own keys would wait for itself."""
        self.load.loop = loop

    def end(self, given: Given) -> None:
        """Tell every load of it that still waits."""
        self.load.has_ended = True
        for waiter in self.members.values():
            if not waiter.done():
                waiter.set_result(given)

    def leave(self, key: object) -> None:
        """This key's load is cancelled: it is not asked for any more, and without any other the call is cancelled."""
        del self.members[key]
        if not self.members and self.load.task is not None:
            self.load.task.cancel()


@final
class AsyncioBatches(Batches):
    """Makes an async loader of one key of a bulk loader."""

    def __init__(self, load_many: Loader, size: int) -> None:
        """See `Batches`."""
        super().__init__(load_many, size)
        self._open: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncioBatch]] = WeakKeyDictionary()
        """For each loop the batch that still takes keys."""

    async def load(self, key: Any) -> Any:
        """The key's value, from the call of its batch."""
        flight: Any = LOADING.get()  # the load that this is the loader of
        batch = self._batch_for(key, flight)
        waiter: Future[Given] = flight.loop.create_future()
        batch.members[key] = waiter
        begin_wait(flight, batch.load)
        try:
            given = await waiter
        except BaseException:
            batch.leave(key)
            raise
        return given.value_of(key)

    def _batch_for(self, key: object, flight: AsyncioLoad) -> AsyncioBatch:
        batch = self._open.get(flight.loop)
        if batch is None or not batch.takes(key, self.size):
            batch = self._open[flight.loop] = AsyncioBatch(flight.loop)
            context = contextvars.copy_context()
            context.run(LOADING.set, batch.load)
            flight.loop.call_soon(self._begin, batch, context=context)
        return batch

    def _begin(self, batch: AsyncioBatch) -> None:
        """The turn of the loop is over: the batch takes no more keys, and is loaded in a task of its own."""
        batch.has_begun = True
        if self._open.get(batch.load.loop) is batch:
            del self._open[batch.load.loop]
        if not batch.members:
            return
        run = self._run(batch)
        try:
            task = batch.load.loop.create_task(run)
        except BaseException as error:  # a task factory is foreign code
            run.close()
            batch.end(Given({}, told(error)))
            if not isinstance(error, Exception):
                raise
            return
        if not task.done():  # an eager task may have run to its end
            batch.load.task = task
            task.add_done_callback(partial(self._over, batch))
            if not batch.members:
                task.cancel()

    async def _run(self, batch: AsyncioBatch) -> None:
        try:
            returned = await awaitable(self.load_many, self.load_many(list(batch.members)))
            batch.end(Given(mapping_of(self.load_many, returned)))
        except BaseException as error:
            batch.end(Given({}, told(error)))
            if not isinstance(error, Exception):
                raise

    def _over(self, batch: AsyncioBatch, task: Future[None]) -> None:
        """The task has ended: perhaps before its first step."""
        batch.load.task = None
        if not batch.load.has_ended:
            batch.end(Given({}, told(asyncio.CancelledError())))
        elif not task.cancelled():
            task.exception()  # it was told to the loads


async def get_many(
    cache: AsyncioLoads[K, Any],
    keys: Iterable[K],
    leave: Callable[[AsyncioLoad, Any, bool], None],
    *,
    return_exceptions: bool,
) -> dict[K, Any]:
    """The values of the keys, in their order.

    cache: whose keys they are; keys: any number of them; leave: called with a flight, what was to be awaited for it,
    and whether that has begun, where the caller stops waiting; return_exceptions: whether errors stand in the place of
    values.
    """
    answers, waits = Answers(cache, distinct(keys)), _Waits[K]()
    try:
        await _look_up_together(cache, answers, waits)
    except BaseException:
        for flight, waiting in waits.open.values():
            leave(flight, waiting, waiting is waits.awaited)
        raise
    return answers.all(return_exceptions=return_exceptions)


class _Waits(Generic[K]):
    """For whom a `get_many` waits still."""

    def __init__(self) -> None:
        self.open: dict[K, tuple[AsyncioLoad, Any]] = {}
        """Key by key: the flight, and what is to be awaited for it."""
        self.awaited: Any = None
        """Which of these was awaited last."""


async def _look_up_together(cache: AsyncioLoads[K, Any], answers: Answers[K], waits: _Waits[K]) -> None:
    """Look the keys up and wait for all."""
    rest = answers.open
    loop = asyncio.get_running_loop()
    while rest:  # more than once only where the loop of a load has ended
        for key in rest:
            try:
                asked, _, waiting = cache._enter_from(key, loop)
            except Exception as error:  # noqa: BLE001  # it is this key's alone
                answers.failed(key, error)
                continue
            if isinstance(asked, AsyncioLoad):
                waits.open[key] = asked, waiting
            else:
                answers.replied(key, asked, cache._shown)
        rest = []
        while waits.open:
            key = next(iter(waits.open))
            waits.awaited = waits.open[key][1]
            outcome = await waits.awaited
            del waits.open[key]
            if outcome is None:
                rest.append(key)
            else:
                answers.ended(key, outcome)
