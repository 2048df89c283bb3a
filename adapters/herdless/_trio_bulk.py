"""Many keys at once on trio: `get_many`, and the batches in which a bulk loader is called.

The loads of keys that are asked for before trio comes to them are one batch: each runs in its own flight's task, puts
its key into the batch that is open, and waits. Nothing but the flights' own tasks is cancelled with a caller; a batch
ends when nobody is left in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

import trio

from herdless._bulk import Answers, Batch, Batches, Given, distinct, mapping_of, told
from herdless._trio_loads import TrioLoad, TrioLoads
from herdless.adapter import LOADING, LOOK_AGAIN, K, Loader, awaitable
from herdless_core import NEVER
from herdless_core._reentrancy import begin_wait


@final
class TrioBatch(Batch[None]):
    """Some keys that are loaded by one call, for whose end all their loads wait together."""

    def __init__(self) -> None:
        super().__init__()
        self.load: Final = TrioLoad("a batch", 0, NEVER)
        """Stands for the call: whoever asks inside it for one of its own keys would wait for itself."""
        self.done: Final = trio.Event()
        self.given: Given

    def end(self, given: Given) -> None:
        """Tell every load of it."""
        self.load.has_ended = True
        self.given = given
        self.done.set()

    def leave(self, key: object) -> None:
        """This key's load is cancelled: it is not asked for any more, and without any other the call is cancelled."""
        del self.members[key]
        if not self.members:
            self.load.scope.cancel()


@final
class TrioBatches(Batches):
    """Makes an async loader of one key of a bulk loader."""

    def __init__(self, load_many: Loader, size: int) -> None:
        """See `Batches`."""
        super().__init__(load_many, size)
        self._open: TrioBatch | None = None
        """The batch that still takes keys."""

    async def load(self, key: Any) -> Any:
        """The key's value, from the call of its batch."""
        flight: Any = LOADING.get()  # the load that this is the loader of
        batch = self._batch_for(key)
        batch.members[key] = None
        begin_wait(flight, batch.load)
        try:
            await batch.done.wait()
        except BaseException:
            batch.leave(key)
            raise
        return batch.given.value_of(key)

    def _batch_for(self, key: object) -> TrioBatch:
        batch = self._open
        if batch is None or not batch.takes(key, self.size):
            nursery = trio.lowlevel.current_task().parent_nursery
            assert nursery is not None  # noqa: S101  # of the cache: no load is trio's first task
            batch = TrioBatch()
            nursery.start_soon(self._run, batch, name="herdless bulk load")
            self._open = batch
        return batch

    async def _run(self, batch: TrioBatch) -> None:
        """What was asked for together is in the batch: it takes no more keys, and is loaded."""
        await trio.lowlevel.cancel_shielded_checkpoint()  # the first of the callers may have made one, and come later
        batch.has_begun = True
        if self._open is batch:
            self._open = None
        try:
            with batch.load.scope:
                LOADING.set(batch.load)
                batch.load.task = trio.lowlevel.current_task()
                await self._call(batch)
        finally:
            batch.load.task = None
            if not batch.load.has_ended:
                batch.end(Given({}, told(RuntimeError("the bulk load was cancelled"))))

    async def _call(self, batch: TrioBatch) -> None:
        try:
            returned = await awaitable(self.load_many, self.load_many(list(batch.members)))
            batch.end(Given(mapping_of(self.load_many, returned)))
        except trio.Cancelled:
            raise
        except BaseException as error:
            batch.end(Given({}, told(error)))
            if not isinstance(error, Exception):
                raise


async def get_many(cache: TrioLoads[K, Any], keys: Iterable[K], *, return_exceptions: bool) -> dict[K, Any]:
    """The values of the keys, in their order.

    cache: whose keys they are; keys: any number of them; return_exceptions: whether errors stand in the place of
    values.
    """
    answers, waits = Answers(cache, distinct(keys)), dict[K, tuple[TrioLoad, Any]]()
    try:
        await _look_up_together(cache, answers, waits)
    except BaseException:
        for flight, _ in waits.values():
            cache._left(flight, can_cancel=True)
        raise
    return answers.all(return_exceptions=return_exceptions)


async def _look_up_together(
    cache: TrioLoads[K, Any], answers: Answers[K], waits: dict[K, tuple[TrioLoad, Any]]
) -> None:
    """Look the keys up and wait for all; waits: who is waited for still, key by key."""
    rest, soft_at = answers.open, cache._soft_at()
    while rest:  # more than once only where a load was outdated before the caller joined it
        for key in rest:
            try:
                asked, _, wait = cache._enter(key)
            except Exception as error:  # noqa: BLE001  # it is this key's alone
                answers.failed(key, error)
                continue
            if isinstance(asked, TrioLoad):
                waits[key] = asked, wait
            else:
                answers.replied(key, asked, cache._shown)
        rest = []
        while waits:
            key = next(iter(waits))
            outcome = await cache._wait(*waits[key], soft_at)
            del waits[key]
            if outcome is LOOK_AGAIN:
                rest.append(key)
            else:
                answers.ended(key, outcome)
