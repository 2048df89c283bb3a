"""Many keys at once in threads: `get_many`, which leads the batches in which a bulk loader is called.

Who calls `get_many` begins the loads of up to `batch_size` keys, calls the bulk loader once for all of them, and only
then waits for what other callers load: so no two of them can wait for each other. Any other load is a batch of one key.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, final

from herdless._bulk import Answers, Batches, Given, distinct, mapping_of
from herdless._threads_loads import TOGETHER, ThreadsLoad, Wait
from herdless.adapter import LOADING, LOOK_AGAIN, K, not_awaitable
from herdless_core import NEVER
from herdless_core._reentrancy import begin_wait


@final
class ThreadsBatches(Batches):
    """Makes a loader of one key of a bulk loader."""

    def load(self, key: Any) -> Any:
        """The key's value. Raises KeyError where the mapping leaves it out."""
        return self.load_all([key])[key]

    def load_all(self, keys: list[Any]) -> Any:
        """The mapping from the keys to their values."""
        return mapping_of(self.load_many, not_awaitable(self.load_many, self.load_many(keys)))


def get_many(cache: Any, keys: Iterable[K], expires_at: int, *, return_exceptions: bool) -> dict[K, Any]:
    """The values of the keys, in their order.

    cache: the `Cache`, whose keys they are; keys: any number of them; expires_at: the instant, in nanoseconds, from
    which on the caller waits no more, `NEVER` without a timeout; return_exceptions: whether errors stand in the place
    of values.
    """
    answers = Answers(cache, distinct(keys))
    if cache._batches is None:
        for key in answers.open:
            try:
                answers.ended(key, cache._answer_by(key, expires_at, None)[0])
            except Exception as error:  # noqa: BLE001  # it is this key's alone
                answers.failed(key, error)
    else:
        _look_up_together(cache, answers, expires_at)
    return answers.all(return_exceptions=return_exceptions)


def _look_up_together(cache: Any, answers: Answers[K], expires_at: int) -> None:
    waits: dict[K, tuple[ThreadsLoad, Wait]] = {}
    since = cache._keyspace.generation
    cache._require_outside()
    try:
        _load_and_wait(cache, answers, waits, expires_at)
    except BaseException:  # an interrupt
        with ExitStack() as stack:
            for flight, _ in waits.values():
                stack.callback(cache._left, flight, can_cancel=False)
            stack.callback(cache._mend, since=since)
        raise


def _load_and_wait(cache: Any, answers: Answers[K], waits: dict[K, tuple[ThreadsLoad, Wait]], expires_at: int) -> None:
    """Lead the loads that are this caller's, chunk by chunk, and wait for all.

    cache: the `Cache`, whose keys they are; answers: what is noted; waits: who is waited for still, key by key;
    expires_at: as for `get_many`.
    """
    soft_at = cache._soft_at()
    for chunk in _chunks(answers.open, cache._batches.size):
        own = list(_begin(cache, chunk, answers, waits))
        if own:
            is_left_behind = expires_at != NEVER or any(flight.due_at != NEVER or flight.is_covered for flight in own)
            _lead(cache, own, is_left_behind=is_left_behind)
    while waits:
        key, (flight, wait) = next(iter(waits.items()))
        del waits[key]
        try:
            outcome = cache._finish(flight, wait, expires_at, soft_at if flight.is_covered else NEVER)
            is_too_old = outcome is LOOK_AGAIN
            answers.ended(key, cache._answer_by(key, expires_at, None)[0] if is_too_old else outcome)
        except Exception as error:  # noqa: BLE001  # it is this key's alone
            answers.failed(key, error)


def _chunks(keys: Sequence[K], size: int) -> Iterator[Sequence[K]]:
    return (keys[first : first + size] for first in range(0, len(keys), size))


def _begin(
    cache: Any, keys: Sequence[K], answers: Answers[K], waits: dict[K, tuple[ThreadsLoad, Wait]]
) -> Iterator[ThreadsLoad]:
    """Look all the keys up: the loads that this caller has to lead. What is known is noted, and who is to be waited
    for.
    """
    for key in keys:
        try:
            asked, boarded, wait, _ = cache._begin(key, TOGETHER)
        except Exception as error:  # noqa: BLE001  # as above
            answers.failed(key, error)
            continue
        if not isinstance(asked, ThreadsLoad):
            answers.replied(key, asked, cache._shown)
            continue
        waits[key] = asked, wait
        if boarded is asked:
            yield boarded


def _lead(cache: Any, flights: list[ThreadsLoad], *, is_left_behind: bool) -> None:
    """Load the keys of these flights by one call: here, or, where the caller may have to leave it behind, aside."""
    if is_left_behind:
        cache._run_elsewhere(flights)
    else:
        run_together(cache, flights)


def run_together(cache: Any, flights: Sequence[ThreadsLoad]) -> None:
    """Call the bulk loader on this thread, and report how each of the loads ended. Raises what is no `Exception`."""
    batch = ThreadsLoad("a batch", 0, NEVER)  # who asks inside the call for one of its own keys would wait for itself
    outside, handled = LOADING.get(), sys.exception()
    try:
        LOADING.set(batch)
        _load_and_report(cache, flights, batch, handled)
        batch.has_ended = True
        LOADING.set(outside)
    except BaseException as error:
        batch.has_ended = True
        LOADING.set(outside)
        with ExitStack() as stack:
            for flight in flights:
                stack.callback(cache._broken_off, flight, error, handled)
        raise


def _load_and_report(
    cache: Any, flights: Sequence[ThreadsLoad], batch: ThreadsLoad, handled: BaseException | None
) -> None:
    """The call, and what it gave to each of the flights.

    cache: the `Cache`, whose flights they are; batch: what stands for the call in the graph of waits; handled: the
    error that the caller was handling before.
    """
    for flight in flights:
        flight.is_launched = True
        begin_wait(flight, batch)
    given = _called(cache._batches, [flight.key for flight in flights if not flight.has_ended])
    for flight in flights:
        _report(cache, flight, given, handled)


def _called(batches: ThreadsBatches, keys: list[Any]) -> Given:
    try:
        return Given(batches.load_all(keys) if keys else {})
    except Exception as error:  # noqa: BLE001  # it is told to the loads
        return Given({}, error)


def _report(cache: Any, flight: ThreadsLoad, given: Given, handled: BaseException | None) -> None:
    if flight.has_ended:
        cache._dropped(flight)  # superseded before it began, or during the call
        return
    try:
        value = given.value_of(flight.key)
    except Exception as error:  # noqa: BLE001  # it is told to the waiters
        cache._failed(flight, error, handled)
    else:
        cache._succeeded(flight, value)
