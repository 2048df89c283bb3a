"""One process of a fleet without a runtime: it does what a shared cache does, one move at a time.

The sessions, the trust, and the rules of what is kept near are those of the adapters (`herdless._shared.base`), which
never wait. What waits in an adapter is a move here. The near cache is one entry, stepped by the machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from herdless._shared.base import Shared
from herdless._shared.links import BaseLink
from herdless.stores import Heard, MemoryStore, Told
from herdless_core import (
    ABSENT,
    Answer,
    Entry,
    Failure,
    Flight,
    Fresh,
    Get,
    Invalidate,
    Join,
    LoadFailed,
    LoadSucceeded,
    Policy,
    Settle,
    StoreDown,
    WaiterLeft,
    age,
    transition,
)
from herdless_core._effects import reply_of
from herdless_core._fleet import session as sessions
from herdless_core._fleet.record import Record
from herdless_core._fleet.requests import Claim, Ended, Lead, Park, Parked, Seen, Swap, claim_in
from herdless_core._fleet.session import Got, Terms

KEY: Final = "k"
SECOND: Final = 1_000_000_000
LEASE: Final = 2 * SECOND
STALENESS: Final = 2 * SECOND

Work: TypeAlias = Generator[Any, Any, Got | None]


@final
class Forget:
    """What an invalidation asks of the store."""

    def __repr__(self) -> str:
        return "Forget()"


@final
@dataclass(slots=True)
class Run:
    """One session, and how far it is."""

    number: int
    name: str
    work: Work
    ends: Callable[[Got | None, bool], None]
    """Is told what it came to, and whether the store was down."""
    request: Any = None
    reply: Any = None
    """What the store has answered, on its way."""
    phase: str = "asks"
    """"asks": the request is on its way; "answered": the reply is; "parked"; "led": another run loads; "over"."""
    read: int = 0
    """The truth that its load has read."""
    said: str = ""
    """All that it was told, by which it is where it is."""
    claim: Claim | None = None
    """What it has claimed, or is about to."""
    flight: int = 0
    """The near cache's, for which it is done; 0: for none."""


@final
class Near:
    """The near cache: what `Shared` asks of a `Cache`, for one key."""

    def __init__(self, _load: Any, *, clock: Callable[[], int], policy: Policy) -> None:
        self._clock: Final = clock
        self._policy: Final = policy
        self._hot: Final[dict[str, Any]] = {}
        self._shown: Final = repr
        self._entry: Entry = ABSENT
        self._generation = 0
        self.waiters: Final[dict[int, list[int]]] = {}
        """By flight, what those who wait for it are owed."""

    @property
    def _keyspace(self) -> Near:
        return self

    def entry(self, _key: str) -> Entry:
        """What is held."""
        return self._entry

    def _look(self, look: Callable[[], Any]) -> Any:
        return look()

    def peek(self, _key: str) -> Any:
        """What is held, while it is fresh."""
        entry = age(self._entry, self._clock())
        return entry.value if isinstance(entry, Fresh) and not isinstance(entry.value, Failure) else None

    def invalidate(self, _key: str) -> None:
        """Nobody joins its flight any more."""
        transition(self._entry, Invalidate(), self._clock(), self._policy)
        self._entry = ABSENT

    def clear(self) -> None:
        """The same."""
        self.invalidate(KEY)

    def look_up(self, owed: int) -> tuple[Any, int]:
        """The value that answers at once, or None; and the flight that has to be begun, or 0."""
        entry, effects = transition(self._entry, Get(self._generation + 1), self._clock(), self._policy)
        self._entry = entry
        reply = reply_of(effects)
        if isinstance(reply, Answer):
            return reply.outcome, 0
        assert isinstance(reply, Join)  # noqa: S101  # there is no limit of waiters
        self.waiters.setdefault(reply.generation, []).append(owed)
        if reply.leads:
            self._generation = reply.generation
        return None, reply.generation if reply.leads else 0

    def fill(self, generation: int, loaded: Any) -> list[int]:
        """The flight brought this, or this Failure; what those who waited were owed."""
        flight = self._entry.flight
        if flight is not None and flight.generation == generation:
            event: LoadFailed | LoadSucceeded = (
                LoadFailed(generation, loaded.error, is_answer=False)
                if isinstance(loaded, Failure)
                else LoadSucceeded(generation, loaded.value, self._policy.lifetime_for(loaded, 0.0))
            )
            self._entry, effects = transition(self._entry, event, self._clock(), self._policy)
            assert any(isinstance(effect, Settle) for effect in effects)  # noqa: S101  # as the machine promises
        return self.waiters.pop(generation, [])

    def leave(self, generation: int) -> None:
        """All leave who wait for the flight, and it is cancelled."""
        for _ in self.waiters.pop(generation, []):
            event = WaiterLeft(generation, can_cancel=True)
            self._entry, _effects = transition(self._entry, event, self._clock(), self._policy)

    def __repr__(self) -> str:
        return f"{self._entry} {self.waiters}"


@final
class Link(BaseLink):
    """Whom to wake."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process: Final = process

    def begin(self) -> None:
        """Nobody waits for that here."""

    def wake(self, key: str) -> None:
        """See `BaseLink`."""
        self._process.wake_all()

    def wake_all(self) -> None:
        """See `BaseLink`."""
        self._process.wake_all()


@final
class Process(Shared[str, int]):
    """One of the fleet. It is told by the world when to go on."""

    def __init__(
        self,
        number: int,
        store: MemoryStore,
        clock: Callable[[], int],
        policy: Policy,
        *,
        listens: bool,
        answers: Callable[[Process, int, int], None],
    ) -> None:
        """answers: is told of every answer, and of what was owed to the caller."""
        near: Any = Near
        super().__init__(
            lambda _key: 0,
            near,
            store,
            {"policy": policy, "lease": LEASE // SECOND, "staleness": STALENESS // SECOND, "store_down": "raise"},
            clock,
        )
        self.number: Final = number
        self.store: Final = store
        self.near: Final[Near] = self._near  # type: ignore[assignment]  # made above
        self.link: Final = Link(self)
        self.news: Final[deque[Heard | Told]] = deque()
        self.runs: Final[dict[int, Run]] = {}
        self.late: Final[list[Swap]] = []
        """What it has asked of the store, and does not wait for any more."""
        self.is_alive = True
        self.begun = 0
        self.asked_at = -1
        """When it last asked the store whether everything has arrived."""
        self._answers: Final = answers
        self._drawn = number * 1_000_000
        self._begun_runs = 0
        self._detach: Callable[[], None] | None = None
        self._terms = Terms(policy, LEASE, f"p{number}", self._draw)
        self._store_clock.sample(0, 0, 0)
        if listens:
            self.listen()
            self._take_news(self.news.popleft())

    def _draw(self, bits: int) -> int:
        """No two processes draw the same, and what one draws does not depend on the others."""
        self._drawn += 1
        return int(self._drawn % 2**bits)

    @property
    def owner(self) -> str:
        """Its name in records."""
        return self._terms.owner

    @property
    def is_listening(self) -> bool:
        """Whether messages are sent to it."""
        return self._detach is not None

    # What it wants

    def look_up(self, owed: int) -> None:
        """A caller comes."""
        self._before_lookup(KEY)
        outcome, generation = self.near.look_up(owed)
        if outcome is not None:
            self._answers(self, outcome.value.value, owed)
        elif generation:
            began, was_blind = self._clock(), self._trust.is_blind

            def ends(got: Got | None, _is_down: bool) -> None:
                self._fetched(generation, began, was_blind, got)

            self._begin("get", sessions.ask(self._terms), ends, generation)

    def change(self, name: str, work: Work, returns: Callable[[], None]) -> None:
        """A caller changes the key; returns: is called where that is known to be done."""

        def ends(got: Got | None, is_down: bool) -> None:
            self._drop(KEY)
            if got is not None and got.leads is not None:
                self._lead(got.record, got.leads)
            if not is_down:
                self.wake_all()
                returns()

        self._begin(name, work, ends)

    def invalidation(self) -> Work:
        """What an invalidation does."""
        yield Forget()
        return None

    @property
    def terms(self) -> Terms:
        """For sessions."""
        return self._terms

    def encoded(self, value: int) -> bytes:
        """As in a record."""
        return bytes(self._fleet.encode(value))

    # How it goes on

    def go_on(self, run: Run, reply: Any) -> None:
        """Tell the session this."""
        run.said += told(reply)
        self._step(run, lambda: run.work.send(reply))

    def leave(self, run: Run) -> None:
        """All leave for whom this is done. What was on its way to the store may arrive all the same."""
        del self.runs[run.number]
        self.near.leave(run.flight)
        if run.phase == "asks" and isinstance(run.request, Swap):
            self.late.append(run.request)
        if run.claim is not None:
            self._begin("leave", sessions.leave(self._terms, run.claim), lambda _got, _is_down: None)

    def leads(self, generation: int) -> bool:
        """Whether it is about to load this flight of the record, loads it, or is about to write what came of it."""
        return any(run.claim is not None and run.claim.flight.generation == generation for run in self.runs.values())

    def fail(self, run: Run) -> None:
        """Tell the session that the store cannot be asked."""
        run.said += "down"
        self._step(run, lambda: run.work.throw(StoreDown("lost")))

    def wake_all(self) -> None:
        """Who is parked looks again; a session that is about to be does so at once."""
        for run in list(self.runs.values()):
            if isinstance(run.request, Park):
                self.go_on(run, Parked())

    def hear(self) -> None:
        """The next message arrives."""
        self._take_news(self.news.popleft())

    def _take_news(self, news: Heard | Told) -> None:
        self._take(self.link, news, self._clock())

    def listen(self) -> None:
        """Messages are sent to it from now on, and it asks for the first answer."""
        self._detach = self.store.attach(self.owner, self.news.append)
        self.ask_store()

    def ask_store(self) -> None:
        """The store is asked whether everything has arrived."""
        self.asked_at = self._clock()
        self.store.ask(self.news.append, self.asked_at)

    def lose(self) -> None:
        """The connection is gone, and it does not know."""
        if self._detach is not None:
            self._detach()
        self._detach = None
        self.news.clear()

    def notice(self) -> None:
        """It knows."""
        self._is_deaf(self.link)

    def die(self) -> None:
        """Kill -9."""
        self.is_alive = False
        self.lose()
        self.runs.clear()
        self.near.waiters.clear()

    def snapshot(self) -> str:
        """By which two states of it are the same."""
        runs = [(run.name, run.phase, told(run.reply), run.read, run.said) for run in self.runs.values()]
        late = [swap.after.version for swap in self.late]
        trust = self._trust
        heard = (self.is_listening, self.link.is_heard, trust.is_blind, trust.until, self.asked_at, list(self.news))
        return repr((self.is_alive, self.begun, self._drawn, self.near, heard, runs, late))

    # Sessions

    def _begin(self, name: str, work: Work, ends: Callable[[Got | None, bool], None], flight: int = 0) -> None:
        self._begun_runs += 1
        run = self.runs[self._begun_runs] = Run(self._begun_runs, name, work, ends, flight=flight)
        self._step(run, lambda: next(work))

    def _step(self, run: Run, go: Callable[[], Any]) -> None:
        try:
            run.request, run.reply, run.phase = go(), None, "asks"
            if not isinstance(run.request, Forget):
                run.claim = claim_in(run.request, self.owner, run.claim)
            if isinstance(run.request, Lead):
                run.phase = "led"
                self._lead(run.request.record, run.request.flight, run)
        except StopIteration as end:
            self._end(run, end.value, is_down=False)
        except StoreDown:
            self._end(run, None, is_down=True)

    def _end(self, run: Run, got: Got | None, *, is_down: bool) -> None:
        del self.runs[run.number]
        run.phase, run.request = "over", None
        run.ends(got, is_down)

    def _fetched(self, generation: int, began: int, was_blind: bool, got: Got | None) -> None:
        if got is None:
            self.near.fill(generation, Failure(StoreDown("lost"), None))
            return
        if got.leads is not None:
            self._lead(got.record, got.leads)
        held = self._held(got, began, was_blind=was_blind)
        for owed in self.near.fill(generation, held):
            self._answers(self, held.value.value, owed)

    def _lead(self, record: Record, flight: Flight, waits: Run | None = None) -> None:
        """Load behind. waits: who is told what comes of it, unless that is too late."""

        def ends(got: Got | None, _is_down: bool) -> None:
            if waits is not None and waits.phase == "led" and waits.number in self.runs:
                self.go_on(waits, got)

        self._begin("lead", sessions.lead(self._terms, record, flight), ends)

    def _abandon(self) -> None:
        """Nobody forks here."""


def told(reply: Any) -> str:
    """What a session is told, in short: a version names all that a record says, but for its lease and its mark."""
    if isinstance(reply, Seen):
        record = reply.record
        return f"{record.version.hex()}.{record.lease}.{record.is_awaited}.{reply.now}.{reply.won} "
    if isinstance(reply, Ended):
        return f"{reply.result!r}.{reply.record.lease}.{reply.now} "
    return repr(reply)
