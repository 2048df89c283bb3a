"""Closing while callers leave: whoever closes waits for loads that somebody waits for, and for no others."""

from __future__ import annotations

import contextlib

import trio
import trio.testing

import herdless.threads
import herdless.trio
from herdless.testing import Schedule, Threads, Trace, VirtualClock, assert_trace_valid, explore, run_threads, run_trio


def test_trio_close_ends_when_the_last_caller_leaves() -> None:
    """The last caller leaves a load that `close` waits for: it is cancelled, and nothing is left to wait for."""

    def run(schedule: Schedule) -> None:
        clock, trace = VirtualClock(), Trace()

        async def load(_key: str) -> None:
            await trio.sleep_forever()

        async def main() -> None:
            cache = herdless.trio.Cache(load, clock=clock, observe=trace)
            async with cache, trio.open_nursery() as nursery:
                caller = trio.CancelScope(deadline=trio.current_time() + 1)

                async def leave() -> None:
                    with caller:
                        await cache.get("a")

                nursery.start_soon(leave)
                await trio.testing.wait_all_tasks_blocked()
                await cache.close()

        run_trio(main, schedule, clock=clock)
        assert_trace_valid(trace, has_ended=True)

    assert explore(run) >= 2


def test_threads_close_ends_when_the_last_caller_leaves() -> None:
    """The same where the load cannot be cancelled: it hangs on, but nobody waits for it."""

    def run(schedule: Schedule) -> None:
        clock, trace = VirtualClock(), Trace()

        def main(threads: Threads) -> None:
            cache: herdless.threads.Cache[str, None] = herdless.threads.Cache(
                lambda _key: threads.pause("hangs", lambda: False), clock=clock, observe=trace
            )

            def leave() -> None:
                with contextlib.suppress(TimeoutError):
                    cache.get("a", timeout=1)

            caller = threads.spawn(leave)
            threads.pause("until the caller waits", lambda: caller.has_ended or caller.doing == "waits for an event")
            cache.close()

        run_threads(main, schedule, clock=clock)
        assert_trace_valid(trace, has_ended=True)

    assert explore(run, bound=1) >= 2
