"""The scene for threads, under a scheduler that owns their locks: one who waits for ever is found at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, final

from herdless.testing import Injection, Schedule, Spawned, Threads, run_threads
from herdless.threads import Cache, cached
from tests.interrupts.cases import EXPECTED, OPERATIONS, LoadBroke, Operation, Situation, accepts
from tests.interrupts.tables import assert_tables_agree

WORKERS: Final = "herdless load"
"""How the names of the threads begin that a cache starts itself."""

PARKED: Final = {"waits for an event", "loads"}


@final
class EagerFirst:
    """The natural order, but the caller who is to join a flight does so as soon as it is there."""

    def choose(self, options: Sequence[str], _running: str | None) -> int:
        """The index of the eager one, or the first."""
        return options.index("eager") if "eager" in options else 0


@final
class Decorated:
    """A decorated function that is used as a cache is: `get` calls it, and all else is done to its cache."""

    def __init__(self, load: Callable[[str], Any], **options: Any) -> None:
        self._function: Final[Any] = cached(**options)(load)
        self._of_function: Final[Any] = self._function.cache

    def get(self, key: str) -> Any:
        """Call the function."""
        return self._function(key)

    def lookup(self, key: str) -> Any:
        """By the key that a call of the function has."""
        return self._of_function.lookup((key,))

    def __len__(self) -> int:
        return len(self._of_function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of_function, name)


@final
class House:
    """A cache, its loader, its callers."""

    def __init__(self, threads: Threads, injection: Injection, situation: Situation, options: dict[str, Any]) -> None:
        self.threads: Final = threads
        self.situation: Final = situation
        self.made: Final[list[tuple[str, int]]] = []
        self.answers: Final[list[tuple[str, object]]] = []
        self.callers: Final[list[Spawned[None]]] = []
        self.gate_is_open = True
        self.is_over = False
        self.breaks = False
        self.is_judged = False
        self.injection: Final = injection
        make: Any = Decorated if options.pop("is_decorated", False) else Cache
        self.cache: Final[Any] = make(self.load, clock=threads.clock, **situation.options, **options)

    def load(self, key: str) -> tuple[str, int]:
        """The loader: parks while the gate is closed."""
        self.threads.pause("loads", lambda: self.gate_is_open)
        if self.situation.asks is not None and key == "a" and not self.is_judged:
            self.cache.get(self.situation.asks)
        if self.breaks:
            raise LoadBroke(key)
        self.made.append((key, len(self.made) + 1))
        return self.made[-1]

    def ask(self, key: str, name: str | None = None, when: Callable[[], bool] = lambda: True) -> Spawned[None]:
        """Another caller, who keeps what it is given."""

        def body() -> None:
            self.threads.pause("is not there yet", when)
            try:
                self.answers.append((key, self.cache.get(key)))
            except Exception as error:  # noqa: BLE001  # judged below
                self.answers.append((key, error))

        self.callers.append(self.threads.spawn(body, name=name))
        return self.callers[-1]

    # The scene

    def prepare(self) -> None:
        """Bring about the situation."""
        situation = self.situation
        for key in situation.filled:
            self.cache.get(key)
        self.threads.clock.advance(situation.seconds)
        self.breaks = situation.breaks
        if situation.is_closed:
            self.cache.close()
        if situation.is_led:
            self.gate_is_open = False
            for _ in range(1 + situation.waits):
                self.wait_for([self.ask(situation.leads)])
            for key in situation.queued:
                self.wait_for([self.ask(key)])
            self.threads.clock.advance(situation.overdue)
        if situation.eager:
            self.ask("a", "eager", lambda: bool(self.cache._flights) or self.is_over)

    def disturb(self, operation: Operation) -> Spawned[None]:
        """Do what is to be disturbed."""

        def body() -> None:
            with contextlib.suppress(*EXPECTED), self.injection.using(self.cache):
                operation(self.cache)

        return self.threads.spawn(body, name="disturbed")

    def wait_for(self, threads: Sequence[Spawned[Any]]) -> None:
        """Until each has ended, or can do nothing without the gate."""
        self.threads.pause("prepares", lambda: all(each.has_ended or each.doing in PARKED for each in threads))

    def wait_for_the_workers(self) -> None:
        """Until the threads that the cache started have nothing to do."""
        workers = [each for each in self.threads.spawned if each.name.startswith(WORKERS)]
        self.threads.pause(
            "waits for the workers",
            lambda: all(
                each.has_ended or (each.doing == "waits for a condition" and not each.can_go_on(self.threads.clock.now))
                for each in workers
            ),
        )

    def end(self, disturbed: Spawned[None]) -> None:
        """Let everybody end."""
        self.wait_for([disturbed])
        self.gate_is_open = True
        disturbed.result()
        self.wait_for_the_workers()
        self.is_over = True
        for caller in self.callers:
            caller.result()
        self.wait_for_the_workers()

    def judge(self, operation: str) -> None:
        """All that must be true afterwards, whatever came in between."""
        for key, answer in self.answers:
            assert accepts(answer, key, self.situation, operation), f"a caller of {key} was given {answer!r}"
        stats = self.threads.spawn(self.cache.stats, name="looks").result()  # the lock is free
        assert stats.in_flight == 0, f"{stats.in_flight} flights are left that nobody runs"
        assert_tables_agree(self.cache)
        self.breaks = False
        self.is_judged = True
        if self.cache._keyspace._closed:
            return
        self.threads.spawn(self.judge_keys, name="asks").result()
        self.wait_for_the_workers()
        assert_tables_agree(self.cache)
        maxsize = self.situation.options.get("maxsize")
        assert maxsize is None or len(self.cache) <= maxsize

    def judge_keys(self) -> None:
        """The one that was disturbed, and others, more than have room."""
        for key in "abcdef":
            self.judge_key(key)

    def judge_key(self, key: str) -> None:
        """It can be looked up at once, with a value of its own, and is then a hit."""
        try:
            value = self.cache.get(key)
        except LoadBroke:
            assert "negative_ttl" in self.situation.options, "an error is remembered that was not to be"
            assert key == "a"
            return
        assert value in self.made or value == (key, 0)
        assert value[0] == key
        if self.situation.options.get("maxsize") != 0:
            assert self.cache.lookup(key).how in {"hit", "stale"}
            assert self.cache.get(key)[0] == key


def play(
    injection: Injection,
    situation: Situation,
    operation: str,
    *,
    in_workers: bool = False,
    **options: Any,
) -> None:
    """One run: the operation, in the situation, is disturbed; or what the cache's own threads do meanwhile."""

    def around(name: str) -> AbstractContextManager[object]:
        disturbs = in_workers and name.startswith(WORKERS)
        return injection.using(houses[0].cache) if disturbs else nullcontext()

    houses: list[House] = []

    def main(threads: Threads) -> None:
        house = House(threads, nobody if in_workers else injection, situation, options)
        houses.append(house)
        house.prepare()
        house.end(house.disturb(OPERATIONS[operation]))
        injection.stop()
        house.judge(operation)

    nobody = Injection(None, lambda _: None, ())
    run_threads(main, Schedule(chooser=EagerFirst()), around=around)
