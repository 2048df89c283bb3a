"""The world of a scene: the store, what is on its way, and time. What may happen next, and what has to hold.

begin    the next caller of a process comes         beat     a process asks the store whether all has arrived
arrive   a request is at the store, or is lost       hear     the next message arrives
reply    the reply arrives, or is lost               break    a connection is gone; `notice`, `link`: what follows
timer    the time of who waits is over               kill     kill -9
orphan   who waits sees that the holder is gone      forget   the store lets go of the record
load     a load ends                                 tick     time goes on
renew    a holder says that it lives                 leave    those who wait are cancelled
late     what was asked for one who left arrives     soft     who waits is answered with what is kept
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final, TypeAlias, final

from herdless.stores import MemoryStore
from herdless_core import ABSENT, Entry, Evicted, Fresh, Policy, Put, Restarted, Stale, StartLoad, Step
from herdless_core._fleet import session as sessions
from herdless_core._fleet.record import Record, parse, with_lease, with_mark
from herdless_core._fleet.requests import Ended, Lead, Load, Park, Parked, Read, Seen, Swap
from herdless_core.invariants import violated
from herdless_verify.fleet.process import KEY, LEASE, SECOND, STALENESS, Forget, Process, Run
from herdless_verify.fleet.scenes import Scene

BEGINNING: Final = 1_000_000 * SECOND

Move: TypeAlias = tuple[str, int, int]
"""What happens, in which process (-1: in none), to which of its sessions (0: to none)."""

MISFORTUNES: Final = frozenset({"lose request", "lose reply", "break", "kill", "forget", "leave"})


class Violation(Exception):
    """Something that is promised does not hold."""


@final
class World:
    """One run of a scene. is_judging: whether what has to hold is looked at; not where moves are repeated."""

    def __init__(self, scene: Scene) -> None:
        self.scene: Final = scene
        self.now = BEGINNING
        self.truth = 1
        self.is_judging = True
        self.store: Final = MemoryStore(clock=lambda: self.now)
        self._policy: Final = Policy(**scene.policy)
        self._left: Final = {
            "tick": scene.ticks,
            "kill": scene.kills,
            "break": scene.breaks,
            "lose": scene.losses,
            "forget": scene.forgets,
            "beat": scene.beats,
            "renew": scene.renewals,
            "leave": scene.leaves,
        }
        self._floor = 0
        """The truth when the key was last invalidated or put, in the store."""
        self._bounds: Final[list[tuple[int, int, int]]] = []
        """Since when which truth binds, by whom."""
        self._changing = False
        self._started: Final[set[int]] = set()
        self._missed: Final[set[str]] = set()
        """Holders that were once not found among those who listen."""
        self.processes: Final = [
            Process(
                number,
                self.store,
                lambda: self.now,
                self._policy,
                listens=number not in scene.deaf,
                answers=self._answered,
            )
            for number in range(len(scene.intents))
        ]

    # What may happen

    def moves(self) -> list[Move]:
        """All of it."""
        found = list(itertools.chain.from_iterable(self._moves_of(p) for p in self.processes if p.is_alive))
        if found and self._left["tick"]:
            found.append(("tick", -1, 0))
        if self._left["forget"] and self.store.read(KEY) is not None:
            found.append(("forget", -1, 0))
        return found

    def _moves_of(self, process: Process) -> Iterator[Move]:
        number, left = process.number, self._left
        intents = self.scene.intents[number]
        if process.begun < len(intents) and not (self._changing and intents[process.begun] in {"invalidate", "put"}):
            yield "begin", number, 0
        for run in process.runs.values():
            yield from ((name, number, run.number) for name in self._moves_of_run(process, run))
            if left["leave"] and run.flight:
                yield "leave", number, run.number
        if process.news:
            yield "hear", number, 0
        if process.late:
            yield "late", number, 0
        if number not in self.scene.deaf:
            if process.is_listening and left["beat"] and self.now > process.asked_at:
                yield "beat", number, 0
            if process.is_listening and left["break"]:
                yield "break", number, 0
            if not process.is_listening:
                yield "notice" if process.link.is_heard else "link", number, 0
        if left["kill"] and process.runs:
            yield "kill", number, 0

    def _moves_of_run(self, process: Process, run: Run) -> Iterator[str]:
        match run.phase, run.request:
            case "asks", Load():
                yield "load"
                if self._left["renew"] and self.now + LEASE > run.request.record.lease:
                    yield "renew"
            case "asks", _:
                yield "arrive"
                if self._left["lose"] and not isinstance(run.request, Park):
                    yield "lose request"
            case "answered", _:
                yield "reply"
                if self._left["lose"]:
                    yield "lose reply"
            case "parked", Park():
                there = parse(self.store.read(KEY))
                is_unheard = not process.link.is_heard and there.version != run.request.record.version
                if self.now >= run.request.until or is_unheard:
                    yield "timer"
                if not self.store.alive([run.request.record.owner]):
                    yield "orphan"
            case "led", Lead():
                if self.now >= run.request.until:
                    yield "soft"
            case _:
                pass

    # What happens

    def do(self, move: Move) -> None:
        """Make it so. Raises Violation for what must not be."""
        name, number, place = move
        if number < 0:
            self._left[name] -= 1
            if name == "tick":
                self.now += self.scene.tick * SECOND
            else:
                self.store._records.pop(KEY, None)
            return
        process = self.processes[number]
        if place:
            self._of_run(name, process, process.runs[place])
        elif name == "begin":
            self._begin(process)
        else:
            self._of_process(name, process)

    def _of_process(self, name: str, process: Process) -> None:
        match name:
            case "hear":
                process.hear()
            case "late":
                self._swapped(process.late.pop(0))
            case "beat":
                self._left["beat"] -= 1
                process.ask_store()
            case "break":
                self._left["break"] -= 1
                process.lose()
            case "notice":
                process.notice()
            case "link":
                process.listen()
            case "kill":
                self._left["kill"] -= 1
                self._changing &= not any(run.name in {"invalidate", "put"} for run in process.runs.values())
                process.die()
            case _:
                raise ValueError(name)

    def _begin(self, process: Process) -> None:
        intent = self.scene.intents[process.number][process.begun]
        process.begun += 1
        if intent == "get":
            process.look_up(self._owed(process))
            return
        if intent in {"invalidate", "put"}:
            self.truth += 1
            self._changing = True
        truth = self.truth

        def returns() -> None:
            if intent in {"invalidate", "put"}:
                self._bounds.append((self.now, process.number, truth))

        match intent:
            case "invalidate":
                process.change(intent, process.invalidation(), returns)
            case "put":
                process.change(intent, sessions.put(process.terms, process.encoded(truth), 0.0), returns)
            case "expire":
                process.change(intent, sessions.expire(process.terms), returns)
            case "refresh":
                process.change(intent, sessions.refresh(process.terms), returns)

    def _of_run(self, name: str, process: Process, run: Run) -> None:
        match name:
            case "arrive":
                self._arrive(process, run)
            case "reply":
                process.go_on(run, run.reply)
                self._read_truth(run)
            case "lose request" | "lose reply":
                self._left["lose"] -= 1
                process.fail(run)
            case "timer":
                process.go_on(run, Parked())
            case "soft":
                process.go_on(run, None)
            case "orphan":
                self._missed.add(run.request.record.owner)
                process.go_on(run, Parked(owner_is_gone=True))
            case "load":
                process.go_on(run, Ended(process.encoded(run.read), run.request.record, self.now, 0.0))
            case "leave":
                self._left["leave"] -= 1
                process.leave(run)
            case "renew":
                self._left["renew"] -= 1
                record = run.request.record
                later, until, kept = process._renewal(record)
                if self.store.change(KEY, record.version, lambda raw: with_lease(raw, until), kept):
                    run.request = Load(later, run.request.flight)
            case _:
                raise ValueError(name)
        self._changing &= any(r.name in {"invalidate", "put"} for p in self.processes for r in p.runs.values())
        for each in process.runs.values():
            self._read_truth(each)

    def _read_truth(self, run: Run) -> None:
        """A load reads as soon as it begins, and so is as old as can be when it ends."""
        if isinstance(run.request, Load) and not run.read:
            run.read = self.truth

    def _arrive(self, process: Process, run: Run) -> None:
        request = run.request
        match request:
            case Read():
                run.reply = Seen(parse(self.store.read(KEY)), self.now)
            case Swap():
                run.reply = self._swapped(request, process.owner if run.name == "leave" else "")
            case Forget():
                self.store.forget(KEY)
                self._floor = self.truth
                run.reply = "forgotten"
            case Park():
                marked = self.store.change(KEY, request.record.version, with_mark, None)
                if not marked:
                    process.go_on(run, Parked())
                    return
                run.phase = "parked"
                return
            case _:
                raise ValueError(request)
        run.phase = "answered"

    def _swapped(self, swap: Swap, leaver: str = "") -> Seen:
        """Compare and set. leaver: who gives up by it what it has claimed."""
        before = parse(self.store.read(KEY))
        raw = swap.after.dump()
        won, there = self.store.swap(KEY, swap.before.token, raw, None, drops=swap.drops)
        if not won:
            return Seen(parse(there), self.now)
        if any(isinstance(step.event, Put) for step in swap.steps):
            self._floor = self.truth
        if self.is_judging:
            self._judge(before, swap, leaver)
        return Seen(parse(raw), self.now, won=True)

    # What has to hold

    def _judge(self, before: Record, swap: Swap, leaver: str) -> None:
        """What was written follows from what was there, by steps of the machine, each of which keeps all promises."""
        entry: Entry = before.entry
        for step in swap.steps:
            if step.before != entry:
                raise Violation(f"a step begins with {step.before}, and what was there is {entry}")
            if broken := violated(step):
                raise Violation(f"{', '.join(broken)}: {step.event} of {step.before}")
            self._of_lease(before, step, leaver)
            entry = ABSENT if isinstance(step.after, Evicted) else step.after
        if isinstance(entry, Fresh | Stale) and isinstance(entry.value, bytes) and int(entry.value) < self._floor:
            raise Violation(f"NoStaleSet: {int(entry.value)} is stored, which was read before {self._floor} was true")

    def _of_lease(self, before: Record, step: Step, leaver: str) -> None:
        is_taken = isinstance(step.event, Restarted) and before.lease > self.now
        if is_taken and before.owner not in {"", leaver} and before.owner not in self._missed:
            raise Violation(f"SingleFlight: the lease of {before.owner} is taken away while it lives")
        for effect in step.effects:
            if isinstance(effect, StartLoad):
                if effect.generation in self._started:
                    raise Violation(f"SingleFlight: generation {effect.generation} is started twice")
                self._started.add(effect.generation)

    def _owed(self, process: Process) -> int:
        bound = (
            truth
            for since, number, truth in self._bounds
            if self.now >= since + (0 if number == process.number else STALENESS)
        )
        return max(bound, default=1)

    def _answered(self, process: Process, value: int, owed: int) -> None:
        if value < owed:
            raise Violation(f"NoStaleRead: a caller of process {process.number} is told {value}, and owed {owed}")

    def settle(self) -> None:
        """Nothing goes wrong any more, and time goes on: whoever asks has to be answered."""
        for _ in range(1_000):
            moves = [move for move in self.moves() if move[0] not in MISFORTUNES | {"begin", "tick", "renew"}]
            waiting = [p for p in self.processes if p.is_alive and (p.runs or p.late or p.near.waiters)]
            if not waiting:
                self._judge_claim()
                return
            quick = [move for move in moves if move[0] != "beat"]
            if quick or moves:
                self.do((quick or moves)[0])
            else:
                self._judge_claim()
                self.now += SECOND
        raise Violation("EveryGetAnswered: somebody waits without end")

    def _judge_claim(self) -> None:
        """Who waits for a load waits for one that is run, or for a holder that is gone or could not say that it is."""
        record = parse(self.store.read(KEY))
        flight = record.entry.flight
        if flight is None or self.now >= record.lease or self.scene.losses:
            return
        for process in self.processes:
            if process.is_alive and process.owner == record.owner and not process.leads(flight.generation):
                raise Violation("nobody leads what is claimed, and all wait for its lease to end")

    def snapshot(self) -> str:
        """By which two states are the same."""
        there: Any = self.store._records.get(KEY)
        world = (
            self.now,
            self.truth,
            self._floor,
            self._bounds,
            self._changing,
            self._left,
            sorted(self._missed),
            there,
        )
        return repr((world, [process.snapshot() for process in self.processes]))
