"""From values to bytes and back, for `encode=` and `decode=` of a SharedCache.

    from herdless import codecs

    packed = codecs.compressed(codecs.msgpack(), above=10_000)
    cache = SharedCache(load, store=store, encode=packed.encode, decode=packed.decode)

All processes that share a cache have to use the same one: what cannot be decoded is loaded again by whoever meets it.
"""

from __future__ import annotations

import importlib
import json as standard_json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from herdless_core import PolicyError

__all__ = ["Codec", "compressed", "json", "msgpack", "orjson", "unsafe_pickle"]

Encode: TypeAlias = Callable[[Any], bytes]
Decode: TypeAlias = Callable[[bytes], Any]

PLAIN: Final = b"\x00"
DEFLATED: Final = b"\x01"
LARGEST: Final = 256 * 1024 * 1024


@final
@dataclass(frozen=True, slots=True)
class Codec:
    """The two ways. `decode` raises for what `encode` has not written, where it can tell."""

    encode: Encode
    decode: Decode


def json() -> Codec:
    """JSON by the standard library, which is the default: None, booleans, numbers, text, lists, and dictionaries with
    keys of text. Tuples come back as lists.
    """
    return Codec(
        lambda value: standard_json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(),
        lambda encoded: standard_json.loads(encoded.decode()),  # which need not guess how text was encoded
    )


def orjson() -> Codec:
    """JSON by orjson, several times as fast; it also writes dataclasses and dates, which come back as dictionaries and
    text. Raises PolicyError where orjson is not installed.
    """
    module = _imported("orjson")
    return Codec(module.dumps, module.loads)


def msgpack() -> Codec:
    """MessagePack: as JSON, and bytes too; smaller, where there are numbers. Raises PolicyError where msgpack is not
    installed.
    """
    module = _imported("msgpack")
    return Codec(module.packb, module.unpackb)


def unsafe_pickle() -> Codec:
    """Pickle: nearly any object of Python's, as it was.

    UNSAFE: to unpickle is to run code. Whoever can write to the store can then do in every one of your processes what
    these can do. Use it only where nobody else can reach the store. And a class that is renamed or changed cannot be
    read by the other version during a deployment.
    """
    import pickle

    return Codec(pickle.dumps, pickle.loads)


def compressed(codec: Codec, *, above: int = 1_000, largest: int = LARGEST) -> Codec:
    """What `codec` makes, deflated where that has at least so many bytes.

    codec: of the values; above: so many bytes, at least 0; largest: a value that would inflate to more bytes than this
    is not read, at least 1. Raises PolicyError for a number that is not accepted.
    """
    _check_count("above", above, 0)
    _check_count("largest", largest, 1)

    def encode(value: Any) -> bytes:
        encoded = codec.encode(value)
        return PLAIN + encoded if len(encoded) < above else DEFLATED + zlib.compress(encoded)

    def decode(encoded: bytes) -> Any:
        kind, rest = encoded[:1], encoded[1:]
        if kind == PLAIN:
            return codec.decode(rest)
        if kind != DEFLATED:
            raise ValueError("not written by a compressing codec")
        return codec.decode(_inflated(rest, largest))

    return Codec(encode, decode)


def _check_count(argument: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PolicyError(f"{argument}={value!r} is not accepted: give an integer >= {least}")


def _inflated(deflated: bytes, largest: int) -> bytes:
    """Raises ValueError for what is too large: a few bytes can say that they are gigabytes."""
    inflating = zlib.decompressobj()
    try:
        inflated = inflating.decompress(deflated, largest)
    except zlib.error as error:
        raise ValueError("not deflated") from error
    if not inflating.eof:
        raise ValueError(f"cut off, or of more than largest={largest} bytes")
    return inflated


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise PolicyError(f"codecs.{module}() needs {module}: pip install {module}") from missing
