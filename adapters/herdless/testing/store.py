"""Whether a store of your own keeps its word: a contract suite, for pytest or any runner that finds `test_` methods.

    from herdless.testing.store import StoreSuite

    class TestMyStore(StoreSuite):
        def make_store(self):
            return MyStore(...)          # empty, at each call

It tries what the promises of a fleet rest on: that a swap compares and sets in one step, that whoever expects a record
that is gone is refused (which fences late holders), that news come in the order of the changes and before the answer to
a later question, that lost news are noticed, and that records end when they should, and not before.

What a store cannot do is said, and not passed over: set `tells`, `knows_the_living` or `can_be_cut` to False, or
`colours` to those that it has ("threads", "asyncio", "trio"). Then that is what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ClassVar, Final, Literal, TypeVar

from herdless.stores import AsyncConnection, AsyncListener, Heard, Store, StoreDown, SyncListener, Told
from herdless_core import MisuseError

__all__ = ["StoreSuite"]

T = TypeVar("T")

Colour = Literal["threads", "asyncio", "trio"]

PATIENCE: Final = 30.0
"""Seconds after which something is taken not to happen any more."""
SHORT: Final = 0.05
LONG: Final = 60_000
"""Milliseconds for which a record is kept that is to be there to the end of its test."""

THREADS: Final = 8


def record(version: int, *, lease: int = 0, awaited: bool = False, body: bytes = b"") -> bytes:
    """Bytes that a store takes for a record. lease: in milliseconds."""
    return version.to_bytes(8) + lease.to_bytes(8) + bytes((awaited,)) + body


class Connected:
    """One connection of either colour, with the methods of `SyncConnection`."""

    def __init__(self, store: Store, colour: Colour) -> None:
        self.colour: Final = colour
        self._runner: Final = _RUNNERS[colour]() if colour != "threads" else None
        connect = store.connect_trio if colour == "trio" else store.connect_async
        self._made: Final = self._run(lambda: _made(connect)) if self._runner else store.connect()
        self._listeners: Final[list[Any]] = []

    def do(self, method: str, *args: object, **options: object) -> Any:
        """Call a method of the connection, and wait for what it returns."""
        return self._call(getattr(self._made, method), *args, **options)

    def swap(
        self, key: str, expected: bytes, new: bytes, *, keep: int | None = LONG, drops: bool = False
    ) -> tuple[bool, bytes | None]:
        """Compare and set."""
        won, there = self.do("swap", key, expected, new, keep, drops=drops)
        return won, there

    def read(self, key: str) -> bytes | None:
        """What is there."""
        found: bytes | None = self.do("read", key)
        return found

    def listen(self, owner: str) -> Listening:
        """Listen as this owner."""
        listening = Listening(self, self.do("listen", owner))
        self._listeners.append(listening)
        return listening

    def close(self) -> None:
        """Give everything back."""
        for listening in self._listeners:
            listening.close()
        self.do("close")
        if self._runner is not None:
            self._runner.close()

    def _call(self, method: Callable[..., Any], *args: object, **options: object) -> Any:
        if self._runner is None:
            return method(*args, **options)
        return self._run(lambda: method(*args, **options))

    def _run(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        assert self._runner is not None  # asked before
        result: T = self._runner.run(begin())
        return result


async def _made(connect: Callable[[], AsyncConnection]) -> AsyncConnection:
    return connect()


class TrioRunner:
    """As `asyncio.Runner`: one trio run for many calls, on a thread of its own."""

    def __init__(self) -> None:
        import trio

        self._trio: Final = trio
        self._token: Final[queue.SimpleQueue[Any]] = queue.SimpleQueue()
        self._is_over: Final = trio.Event()
        self._thread: Final = threading.Thread(target=trio.run, args=(self._live,))
        self._thread.start()
        self._run_token: Final = self._token.get(timeout=PATIENCE)

    async def _live(self) -> None:
        self._token.put(self._trio.lowlevel.current_trio_token())
        await self._is_over.wait()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What comes of it."""

        async def wait() -> T:
            return await coroutine

        return self._trio.from_thread.run(wait, trio_token=self._run_token)

    def close(self) -> None:
        """The end."""
        self._run_token.run_sync_soon(self._is_over.set)
        self._thread.join()


_RUNNERS: Final[dict[Colour, Callable[[], Any]]] = {"asyncio": asyncio.Runner, "trio": TrioRunner}


class Listening:
    """What one connection hears."""

    def __init__(self, connected: Connected, listener: SyncListener | AsyncListener) -> None:
        self._connected: Final = connected
        self._listener: Final = listener
        self._mark = 0

    def news(self) -> list[Told]:
        """All that was told up to now, in its order."""
        self._mark += 1
        self._connected._call(self._listener.ask, self._mark)  # of this module
        heard: list[Told] = []
        ends_at = time.monotonic() + PATIENCE
        while time.monotonic() < ends_at:
            news = self._connected._call(self._listener.next, 1.0)
            if isinstance(news, Told):
                heard.append(news)
            elif news == Heard(self._mark):
                return heard
        raise AssertionError(f"Heard({self._mark}) did not come; {heard} did")

    def close(self) -> None:
        """Listen no more."""
        self._connected._call(self._listener.close)


class StoreSuite:
    """The scenarios. Derive from it, and write `make_store`."""

    colours: ClassVar[tuple[Colour, ...]] = ("threads", "asyncio")
    tells: ClassVar[bool] = True
    """Whether `listen` gives a listener."""
    knows_the_living: ClassVar[bool] = True
    """Whether `alive` gives a set."""
    can_be_cut: ClassVar[bool] = False
    """Whether `cut` is written."""

    def make_store(self) -> Store:
        """An empty store. Called once for each scenario and colour."""
        raise NotImplementedError("write make_store")

    def cut(self, store: Store) -> None:
        """Cut the connections of all who listen, without a word to them."""
        raise NotImplementedError("write cut, or leave can_be_cut False")

    # What each is asked

    def test_a_colour_that_is_left_out_is_refused_clearly(self) -> None:
        """Whoever uses it must not get an AttributeError in the middle of a lookup."""
        store = self.make_store()
        for colour, connect in (("threads", store.connect), ("asyncio", store.connect_async)):
            if colour not in self.colours:
                try:
                    connect()
                except MisuseError:
                    continue
                raise AssertionError(f"there is a connection for {colour}")

    def test_what_was_written_is_read(self) -> None:
        """By any connection, whatever bytes they are."""
        for one, two in self._pairs():
            new = record(1, body=bytes(range(256)) * 100)
            assert one.read("key") is None
            assert one.swap("key", b"", new) == (True, None)
            assert one.read("key") == two.read("key") == new
            assert two.read("another key") is None

    def test_keys_are_any_text(self) -> None:
        """They come from users."""
        for one, two in self._pairs():
            keys = ["", " ", "a:b", "ä€😀", "\n\0", "x" * 1_000]
            for version, key in enumerate(keys, 1):
                assert one.swap(key, b"", record(version))[0]
            assert [two.read(key) for key in keys] == [record(version) for version, _ in enumerate(keys, 1)]

    def test_a_swap_is_won_only_against_what_it_expects(self) -> None:
        """All of the token counts, its lease too: one that was renewed is not taken away."""
        for one, two in self._pairs():
            first, second = record(1, lease=10), record(2)
            assert one.swap("key", b"", first)[0]
            for wrong in (second[:16], record(1, lease=11)[:16], b""):
                assert two.swap("key", wrong, second) == (False, first)
            assert two.swap("key", first[:16], second)[0]
            assert one.swap("key", first[:16], record(3)) == (False, second)

    def test_one_of_many_wins(self) -> None:
        """Between its comparison and its writing nothing may come: SingleFlight rests on it."""
        for colour in self.colours:
            store = self.make_store()
            won: list[int] = []
            compete = functools.partial(_compete, store, colour, threading.Barrier(THREADS), won)
            threads = [threading.Thread(target=compete, args=(number,)) for number in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert won == list(range(10))

    def test_whoever_expects_what_was_forgotten_is_refused(self) -> None:
        """That is the fence: a load that began before an invalidation is not stored after it."""
        for one, two in self._pairs():
            first = record(1, lease=10)
            assert one.swap("key", b"", first)[0]
            two.do("forget", "key")
            assert one.swap("key", first[:16], record(2)) == (False, None)
            assert one.read("key") is None
            two.do("forget", "key")

    def test_many_are_read_at_once(self) -> None:
        """Each in its place, and nothing where there is none."""
        for one, two in self._pairs():
            assert one.do("read_many", []) == []
            for number in (1, 2):
                assert one.swap(f"key {number}", b"", record(number))[0]
            assert two.do("read_many", ["key 2", "no key", "key 1", "key 2"]) == [record(2), None, record(1), record(2)]

    def test_many_are_forgotten_at_once(self) -> None:
        """As each would be, one after the other; also those that are not there."""
        for one, two in self._pairs():
            for number in (1, 2, 3):
                assert one.swap(f"key {number}", b"", record(number))[0]
            listening = two.listen("two") if self.tells else None
            one.do("forget_many", [])
            one.do("forget_many", ["key 1", "no key", "key 3"])
            assert two.do("read_many", ["key 1", "key 2", "key 3"]) == [None, record(2), None]
            if listening is not None:
                told = listening.news()
                assert {each.key for each in told} == {"key 1", "no key", "key 3"}
                assert {(each.version, each.drops) for each in told} == {(b"", True)}

    def test_a_lease_is_renewed_in_place(self) -> None:
        """Only that of the version that is meant."""
        for one, two in self._pairs():
            first = record(1, lease=10, body=b"body")
            assert one.swap("key", b"", first)[0]
            assert one.do("renew", "key", first[:8], 999, LONG)
            assert two.read("key") == record(1, lease=999, body=b"body")
            assert not one.do("renew", "key", record(2)[:8], 5, LONG)
            assert not one.do("renew", "nothing", first[:8], 5, LONG)
            assert two.read("key") == record(1, lease=999, body=b"body")

    def test_a_mark_is_set_in_place(self) -> None:
        """It changes no token: the holder's swap must still be won."""
        for one, two in self._pairs():
            first = record(1, lease=10, body=b"body")
            assert one.swap("key", b"", first)[0]
            assert two.do("mark", "key", first[:8], LONG)
            assert one.read("key") == record(1, lease=10, awaited=True, body=b"body")
            assert not two.do("mark", "key", record(2)[:8], LONG)
            assert not two.do("mark", "nothing", first[:8], LONG)
            assert one.swap("key", first[:16], record(2))[0]

    def test_a_record_ends(self) -> None:
        """When its time is over, or else the store would fill up; a later writer expects nothing there."""
        for one, two in self._pairs():
            assert one.swap("key", b"", record(1), keep=20)[0]
            assert one.swap("for ever", b"", record(1), keep=None)[0]
            _until(functools.partial(_is_gone, two, "key"))
            assert two.swap("key", b"", record(2))[0]
            assert two.read("for ever") == record(1)

    def test_a_renewed_lease_keeps_its_record(self) -> None:
        """And never shortens its time."""
        for one, two in self._pairs():
            for key, keep, longer in (("short", 1_000, LONG), ("long", LONG, 1), ("for ever", None, 1)):
                assert one.swap(key, b"", record(1), keep=keep)[0]
                while not one.do("renew", key, record(1)[:8], 7, longer):  # its time was over, on a busy machine
                    one.swap(key, b"", record(1), keep=keep)
            assert one.swap("clock", b"", record(1), keep=1_500)[0]
            _until(functools.partial(_is_gone, two, "clock"))
            assert [two.read(key) for key in ("short", "long", "for ever")] == [record(1, lease=7)] * 3

    def test_time_goes_on(self) -> None:
        """Nanoseconds since 1970; both connections ask the same clock."""
        for one, two in self._pairs():
            first, second, third = one.do("time"), two.do("time"), one.do("time")
            assert 1_600_000_000 * 10**9 < first <= second <= third < first + PATIENCE * 10**9

    # What is told

    def test_who_cannot_tell_says_so(self) -> None:
        """None, and no listener that never hears anything."""
        for one, _ in self._pairs():
            if not self.tells:
                assert one.do("listen", "owner") is None
            if not self.knows_the_living:
                assert one.do("alive", ["owner"]) is None

    def test_changes_are_told_in_their_order(self) -> None:
        """A drop that came before the write it followed would leave an old value near."""
        for one, two in self._pairs(tells=True):
            listening = two.listen("two")
            assert one.swap("a", b"", record(1))[0]
            assert one.swap("a", record(1)[:16], record(2), drops=True)[0]
            one.do("forget", "b")
            assert one.swap("b", b"", record(3), drops=True)[0]
            assert one.do("mark", "b", record(3)[:8], LONG)
            assert one.swap("b", record(3)[:16], record(4))[0]
            one.do("forget", "b")
            assert listening.news() == [
                Told("a", record(2)[:8], drops=True),
                Told("b", b"", drops=True),
                Told("b", record(3)[:8], drops=True),
                Told("b", record(4)[:8], drops=False),
                Told("b", b"", drops=True),
            ]

    def test_what_nobody_waits_for_is_not_told(self) -> None:
        """It would cost every process something."""
        for one, two in self._pairs(tells=True):
            listening = two.listen("two")
            assert one.swap("a", b"", record(1))[0]
            assert one.do("renew", "a", record(1)[:8], 5, LONG)
            assert not one.swap("a", record(8)[:16], record(9), drops=True)[0]
            assert one.swap("a", record(1, lease=5)[:16], record(2))[0]
            assert listening.news() == []

    def test_an_answer_comes_after_all_that_was_told_before(self) -> None:
        """The trust in what is held near rests on it."""
        for one, two in self._pairs(tells=True):
            listening = two.listen("two")
            for turn in range(20):
                one.do("forget", str(turn))
                assert listening.news() == [Told(str(turn), b"", drops=True)]

    def test_a_listener_that_missed_something_says_so(self) -> None:
        """By StoreDown. One that silently connects anew would go on trusting what was invalidated meanwhile."""
        for one, two in self._pairs(tells=self.can_be_cut):
            listening = two.listen("two")
            assert listening.news() == []
            self.cut(self._store)
            one.do("forget", "a")
            try:
                heard = listening.news()
            except StoreDown:
                continue
            raise AssertionError(f"it was cut off, and says that it heard all: {heard}")

    def test_who_listens_is_alive(self) -> None:
        """And nobody else: a holder that is gone is not waited for."""
        for one, two in self._pairs(tells=self.knows_the_living):
            assert one.do("alive", ["two"]) == set()
            listening = two.listen("two")
            listening.news()
            assert one.do("alive", ["one", "two"]) == {"two"}
            listening.close()
            _until(functools.partial(_is_dead, one, "two"))

    def _pairs(self, *, tells: bool | None = None) -> Iterator[tuple[Connected, Connected]]:
        """Two connections to an empty store, of each colour; none where the store cannot do what is to be tried."""
        for colour in self.colours if tells is None or (tells and self.tells) else ():
            self._store = self.make_store()
            with _connected(self._store, colour) as one, _connected(self._store, colour) as two:
                yield one, two


@contextlib.contextmanager
def _connected(store: Store, colour: Colour) -> Iterator[Connected]:
    connected = Connected(store, colour)
    try:
        yield connected
    finally:
        connected.close()


def _compete(store: Store, colour: Colour, barrier: threading.Barrier, won: list[int], number: int) -> None:
    """One of those who swap the same record, and of whom one has to win at each turn."""
    with _connected(store, colour) as connected:
        for turn in range(10):
            expected = b"" if turn == 0 else record(turn)[:16]
            barrier.wait(PATIENCE)
            if connected.swap("key", expected, record(turn + 1, body=bytes((number,))))[0]:
                won.append(turn)


def _is_gone(connected: Connected, key: str) -> bool:
    return connected.read(key) is None


def _is_dead(connected: Connected, owner: str) -> bool:
    return bool(connected.do("alive", [owner]) == set())


def _until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends_at, "it did not come to be"
        time.sleep(SHORT)
