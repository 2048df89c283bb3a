"""What can be had outside of Workers: the module for typing, and the client's patience, told by a fake namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from herdless import HerdlessError, LoadTimeout, PolicyError
from herdless._durable import client, wire
from herdless._durable.runtime import Exposed
from herdless.durable_objects import (
    CacheClient,
    CacheObject,
    Loaded,
    ObjectUnreachable,
    Policy,
    RemoteLoadError,
    ValueTooLarge,
)


class RuntimeFault(Exception):
    """What the runtime raises, with its flags."""

    def __init__(self, message: str, **flags: bool) -> None:
        super().__init__(message)
        self.__dict__ |= flags


class Namespace:
    """Objects whose methods do, one call after the other, what the test has listed; the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self._answers: Final = list(answers)
        self.calls: Final[list[tuple[Any, ...]]] = []
        self.stubs = 0

    def getByName(self, name: str) -> Any:  # noqa: N802  # JavaScript's name
        """A stub that answers one call; a second one would find it broken."""
        self.stubs += 1
        return _Stub(self, name)

    def answer(self, *call: Any) -> Any:
        """What is next."""
        self.calls.append(call)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class _Stub:
    def __init__(self, namespace: Namespace, name: str) -> None:
        self._namespace = namespace
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        async def call(*arguments: object) -> Any:
            return self._namespace.answer(self._name, method, *arguments)

        return call


class Time:
    """Stands for `monotonic` and `asyncio.sleep` in the client: sleeping takes the time it says, and none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.slept: Final[list[float]] = []
        monkeypatch.setattr(client, "monotonic", lambda: self.now)
        monkeypatch.setattr("asyncio.sleep", self._sleep)
        monkeypatch.setattr("random.uniform", lambda _, longest: longest)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Virtual time, and a jitter that always draws the longest delay."""
    return Time(monkeypatch)


def _get(namespace: Namespace, **options: Any) -> Any:
    return asyncio.run(CacheClient(namespace, **options).get("key"))


RETRYABLE: Final = RuntimeFault("the object moved", retryable=True)
RESET: Final = RuntimeFault("the object's code was updated", durableObjectReset=True)
OVERLOADED: Final = RuntimeFault("the object is overloaded", overloaded=True, retryable=True)


def test_a_cache_object_can_be_written_anywhere_and_made_in_workers_only() -> None:
    """A laptop's type checker must import it; whoever makes one there is told what is missing."""

    class Users(CacheObject):
        policy = Policy(ttl=60)

        async def load(self, key: str) -> str:
            return key

    with pytest.raises(RuntimeError, match="workers-runtime-sdk cannot be imported here"):
        Users(None, None)


@pytest.mark.parametrize("fault", [RETRYABLE, RESET])
def test_what_the_platform_interrupted_is_asked_again_by_a_new_stub(time: Time, fault: Exception) -> None:
    """A stub that has thrown stays broken; a caller must not see that an object was moved."""
    namespace = Namespace(fault, fault, {"value": "7", "how": "hit", "age": 0})
    assert _get(namespace) == 7
    assert namespace.stubs == 3
    assert time.slept == [client.FIRST_BACKOFF_SECONDS, 2 * client.FIRST_BACKOFF_SECONDS]


@pytest.mark.parametrize("fault", [OVERLOADED, RuntimeFault("something else")])
def test_an_overloaded_object_is_never_asked_again(time: Time, fault: Exception) -> None:
    """More requests are what it has too many of. Nor does it help where the platform does not say so."""
    namespace = Namespace(fault)
    with pytest.raises(ObjectUnreachable, match=str(fault)) as raised:
        _get(namespace)
    assert raised.value.__cause__ is fault
    assert (namespace.stubs, time.slept) == (1, [])


@pytest.mark.parametrize("retry_for", [3, 3.0, timedelta(seconds=3)])
def test_retries_end_within_their_time(time: Time, retry_for: Any) -> None:
    """Back-off grows to its limit, and no attempt begins after the time is up."""
    namespace = Namespace(RETRYABLE)
    with pytest.raises(ObjectUnreachable):
        _get(namespace, retry_for=retry_for)
    assert time.now <= 3
    assert time.slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]


def test_no_retries_means_one_attempt(time: Time) -> None:
    """Whoever retries elsewhere can turn it off."""
    namespace = Namespace(RETRYABLE)
    with pytest.raises(ObjectUnreachable):
        _get(namespace, retry_for=0)
    assert namespace.stubs == 1


def test_of_a_traceback_only_what_was_raised_is_told() -> None:
    """An exception that escaped an object arrives as the text of its traceback."""
    fault = RuntimeFault('PythonError: Traceback (most recent call last):\n  File "x"\nValueError: boom\n')
    with pytest.raises(ObjectUnreachable, match=r"^the object 'key' did not answer lookup\(\): ValueError: boom$"):
        _get(Namespace(fault))


def test_errors_in_replies_are_raised_as_what_they_are() -> None:
    """Herdless's own by their class, a loader's by its name and message."""
    with pytest.raises(LoadTimeout, match="too slow"):
        _get(Namespace({"error": "LoadTimeout", "message": "too slow"}))
    with pytest.raises(RemoteLoadError, match=r"^boom$") as raised:
        _get(Namespace({"error": "ValueError", "message": "boom"}))
    assert raised.value.kind == "ValueError"
    assert isinstance(raised.value, HerdlessError)


def test_values_can_be_encoded_otherwise() -> None:
    """Whoever needs dates or a schema brings the two functions."""
    namespace = Namespace({})
    users = CacheClient(namespace, encode=lambda value: f"<{value}>", decode=lambda body: body[1:-1])
    asyncio.run(users.put("key", Loaded("value", ttl=5)))
    assert namespace.calls == [("key", "put", "<value>", 5.0, None)]


def test_a_value_that_is_put_takes_its_windows_along() -> None:
    """Those that it has of its own."""
    namespace = Namespace({})
    asyncio.run(CacheClient(namespace).put("key", Loaded("value", ttl=5, stale_if_error=60)))
    assert namespace.calls == [("key", "put", '"value"', 5.0, None, 60.0)]


def test_a_value_that_is_put_takes_its_age_along() -> None:
    """One that was true a while ago, at some other cache."""
    namespace = Namespace({})
    asyncio.run(CacheClient(namespace).put("key", Loaded("value", ttl=5, age=2.5)))
    assert namespace.calls == [("key", "put", '"value"', 5.0, None, None, 2.5)]


def test_a_value_that_is_not_to_be_kept_is_not_sent() -> None:
    """What is put is kept."""
    namespace = Namespace({})
    with pytest.raises(PolicyError, match="keep=False is not accepted by put"):
        asyncio.run(CacheClient(namespace).put("key", Loaded("value", keep=False)))
    assert namespace.calls == []


def test_a_value_with_tags_is_not_sent() -> None:
    """Nobody could invalidate it by them: a tag that does nothing would be believed to."""
    namespace = Namespace({})
    with pytest.raises(PolicyError, match="is not accepted by Durable Objects"):
        asyncio.run(CacheClient(namespace).put("key", Loaded("value", tags=["user:7"])))
    assert namespace.calls == []


def test_an_invalidation_reaches_the_owner_before_its_readers() -> None:
    """A reader that is told first could load the old value from the owner again."""
    namespace = Namespace({})
    asyncio.run(CacheClient(namespace, replicas=2).invalidate("key"))
    names = [name for name, *_ in namespace.calls]
    assert names == [wire.object_name("key"), wire.object_name("key", 1), wire.object_name("key", 2)]
    assert [wire.key_of(name) for name in names] == [("key", False), ("key", True), ("key", True)]


def test_a_reader_that_cannot_be_told_keeps_no_other_from_being_told() -> None:
    """The caller hears of the one; all that can know of the change do."""
    fault = RuntimeFault("gone")
    namespace = Namespace({}, fault, {})
    with pytest.raises(ObjectUnreachable, match="did not answer invalidate"):
        asyncio.run(CacheClient(namespace, replicas=3).invalidate("key"))
    assert len(namespace.calls) == 4


@pytest.mark.parametrize("options", [{"replicas": -1}, {"replicas": True}, {"retry_for": -1}, {"retry_for": "2"}])
def test_a_bad_argument_is_named(options: Any) -> None:
    """With its value and what is accepted."""
    ((name, value),) = options.items()
    with pytest.raises(PolicyError, match=f"^{name}={value!r} is not accepted: give "):
        CacheClient(None, **options)


@pytest.mark.parametrize("key", ["", "\x1fkey", 7, None])
def test_a_key_is_a_text_that_is_no_readers_name(key: Any) -> None:
    """The name of an object is a text; those of readers begin with a mark that no key may have."""
    with pytest.raises(PolicyError, match="is not accepted: give a text"):
        asyncio.run(CacheClient(Namespace({})).get(key))


@pytest.mark.parametrize(("replicas", "longest"), [(0, 1024), (1, 1021), (9, 1021), (10, 1020)])
def test_a_key_has_as_many_bytes_as_an_object_can_be_named_by(replicas: int, longest: int) -> None:
    """An object with a longer name is not told it, and answers nobody. With readers, whichever of them is asked, the
    answer is the same: their names are longer than the key.
    """
    reply = {"value": "7", "how": "hit", "age": 0}
    namespace = Namespace(reply)
    users = CacheClient(namespace, replicas=replicas)
    assert asyncio.run(users.get("é" * (longest // 2) + "x" * (longest % 2))) == 7
    assert max(len(wire.object_name("x" * longest, reader).encode()) for reader in range(replicas + 1)) <= 1024
    message = f"it has {longest + 1} bytes, give at most {longest}$"
    for change in (users.get, users.invalidate, users.expire, users.refresh, users.stats, users.peek):
        with pytest.raises(PolicyError, match=message):
            asyncio.run(change("x" * (longest + 1)))
    with pytest.raises(PolicyError, match=message):
        asyncio.run(users.put("x" * (longest + 1), 7))
    assert len(namespace.calls) == 1


def test_a_key_is_unicode() -> None:
    """A lone surrogate has no bytes that could be sent; and the message must not have one either."""
    with pytest.raises(PolicyError, match="it has a lone surrogate at 2") as raised:
        asyncio.run(CacheClient(Namespace({})).get("ab\ud800"))
    str(raised.value).encode()


@pytest.mark.parametrize("name", [None, "", "\x1fkey", "\x1f0\x1fkey", "\x1f1\x1f", "\x1fx\x1fkey", "x" * 1025])
def test_an_object_by_another_name_is_refused(name: Any) -> None:
    """A key that begins as the names of readers do would be an object that no invalidation reaches."""
    with pytest.raises(PolicyError, match="is not accepted"):
        wire.key_of(name)


def test_what_the_runtime_holds_has_the_public_methods_only() -> None:
    """RPC calls whatever is callable: a loader that is called by it loads without single flight."""

    class Object:
        constant = 7

        def get(self) -> str:
            return f"got {self._secret()}"

        def load(self) -> str:
            return "loaded"

        def _secret(self) -> str:
            return "a secret"

    exposed: Any = Exposed(Object(), frozenset({"load"}))
    assert exposed.get() == "got a secret"
    for name in ("load", "_secret", "constant", "__init__", "__setattr__", "__class__", "_methods", "__dict__"):
        with pytest.raises(AttributeError, match="there is no method"):
            getattr(exposed, name)
    with pytest.raises(AttributeError, match="cannot be set"):
        exposed.get = None


@pytest.mark.parametrize("value", ["\ud800", ["\udfff", {"\ud800": "é"}]])
def test_a_lone_surrogate_in_a_value_is_escaped(value: Any) -> None:
    """JSON can say it so; as it is it is no UTF-8, and the row would not be written."""
    body = wire.encode(value)
    assert isinstance(body, str)
    body.encode()
    assert wire.decode(wire.checked_json(wire.checked(body))) == value


def test_text_with_a_lone_surrogate_is_refused() -> None:
    """Whoever encodes by themselves is told where it is."""
    with pytest.raises(PolicyError, match="it has a lone surrogate at 1, give Unicode text"):
        wire.checked('"\ud800"')


@pytest.mark.parametrize(
    "text", ["", "value", "{'a': 1}", "NaN", "[Infinity]", "1 2", "\ufeff1", '"\n"', "[" * 100_000]
)
def test_text_that_is_no_json_is_refused(text: str) -> None:
    """Every caller would fail to decode it, and none of them wrote it."""
    with pytest.raises(PolicyError, match="give JSON text or bytes"):
        wire.checked_json(text)


@pytest.mark.parametrize("body", ["7", ' {"a": [null, 1e400, "\\ud800"]}\n', b"\xff"])
def test_json_and_bytes_are_bodies(body: str | bytes) -> None:
    """Bytes are whatever they are."""
    assert wire.checked_json(wire.checked(body)) is body


@pytest.mark.parametrize("value", ["é" * 1_000_000, b"x" * 2_000_001, "x" * 2_000_001])
def test_the_limit_counts_bytes(value: str | bytes) -> None:
    """A text of a million characters may have two million bytes and more."""
    with pytest.raises(ValueTooLarge, match="at most 2000000 fit"):
        wire.checked(wire.encode(value))


def test_what_is_no_number_in_json_is_refused() -> None:
    """JavaScript could not read it."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.encode(float("nan"))
