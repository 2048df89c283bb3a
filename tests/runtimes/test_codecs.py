"""Values as bytes, and back."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdless import PolicyError, codecs
from herdless.stores import MemoryStore
from herdless.threads import SharedCache

SIMPLE: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ALL: dict[str, Callable[[], codecs.Codec]] = {
    "json": codecs.json,
    "orjson": codecs.orjson,
    "msgpack": codecs.msgpack,
    "unsafe_pickle": codecs.unsafe_pickle,
    "compressed": lambda: codecs.compressed(codecs.json(), above=10),
}
ENCODINGS = [
    pytest.param(name, marks=[pytest.mark.needs(name)] if name in {"orjson", "msgpack"} else []) for name in ALL
]


@pytest.mark.parametrize("name", ENCODINGS)
@given(value=SIMPLE)
def test_what_was_encoded_is_decoded(name: str, value: Any) -> None:
    """Whatever JSON can say, by each of them."""
    codec = ALL[name]()
    encoded = codec.encode(value)
    assert type(encoded) is bytes
    assert codec.decode(encoded) == value


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("raw", [b"", b"\xff\xff", b"\x01\x02", b"{"])
def test_foreign_bytes_are_an_error(name: str, raw: bytes) -> None:
    """By which the value is loaded again."""
    if name == "msgpack" and raw in {b"{", b"\xff\xff", b"\x01\x02"}:
        raw = b"\xc1"  # of the few bytes that mean nothing
    with pytest.raises(Exception):  # noqa: B017, PT011  # of any kind
        ALL[name]().decode(raw)


def test_only_what_is_large_is_compressed_and_what_inflates_too_much_is_refused() -> None:
    """Some bytes of a hostile record can say that they are gigabytes."""
    codec = codecs.compressed(codecs.json(), above=100, largest=10_000)
    small, large = codec.encode("x" * 50), codec.encode("x" * 5_000)
    assert small[1:] == codecs.json().encode("x" * 50)
    assert len(large) < 100
    assert codec.decode(large) == "x" * 5_000
    bomb = b"\x01" + zlib.compress(b"0" * 1_000_000)
    for raw in (bomb, large[:-3], b"\x02x"):
        with pytest.raises(ValueError, match=r"larg|cut off|not written"):
            codec.decode(raw)
    for wrong in ({"above": -1}, {"largest": 0}, {"above": True}):
        with pytest.raises(PolicyError, match=f"{next(iter(wrong))}="):
            codecs.compressed(codecs.json(), **wrong)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the codec is made, and not at the first value."""
    monkeypatch.setitem(__import__("sys").modules, "msgpack", None)
    with pytest.raises(PolicyError, match="pip install msgpack"):
        codecs.msgpack()


def test_a_shared_cache_takes_both_ways_of_one() -> None:
    """Bytes, which JSON cannot say."""
    codec = codecs.compressed(codecs.unsafe_pickle())

    def load(key: str) -> bytes:
        return b"\x00" * 5_000

    with SharedCache(load, store=MemoryStore(), encode=codec.encode, decode=codec.decode) as cache:
        assert cache.get("a") == b"\x00" * 5_000
