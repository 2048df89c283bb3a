"""What crosses RPC: values as bodies, lookups as replies, errors as data.

A BODY is an encoded value: JSON text, or bytes. A reply is a plain object with a `value` (a body), or with an `error`
(the name of its class) and a `message`. An error is data because an exception would arrive as the text of a traceback,
and would break the caller's stub.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    HerdlessError,
    LoadCancelled,
    Loaded,
    LoadTimeout,
    MisuseError,
    PolicyError,
    ReentrantLoad,
    RemoteLoadError,
    TooManyWaiters,
    describe,
    shown,
)

Body: TypeAlias = str | bytes
Reply: TypeAlias = dict[str, Any]

MAX_BODY_BYTES: Final = 2_000_000
"""What fits into one row of an object's storage (2 MB, Cloudflare's limit)."""


class ValueTooLarge(MisuseError, ValueError):
    """The encoded value does not fit into a row of the object's storage; nothing was written."""


class ObjectUnreachable(HerdlessError):
    """The object did not answer, and asking again did not or would not help; the runtime's error is the `__cause__`."""


_ERRORS: Final[dict[str, type[HerdlessError]]] = {
    error.__name__: error
    for error in (LoadTimeout, LoadCancelled, ReentrantLoad, TooManyWaiters, ValueTooLarge, PolicyError)
}


def encode(value: Any) -> Body:
    """Bytes as they are, everything else as JSON text. Raises TypeError or ValueError for what JSON cannot say."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def decode(body: Body) -> Any:
    """What `encode` was given."""
    return body if isinstance(body, bytes) else json.loads(body)


def checked(body: object) -> Body:
    """The body, its bytes as `bytes`. Raises PolicyError for another type, ValueTooLarge for one over the limit."""
    if isinstance(body, (memoryview, bytearray)):
        body = bytes(body)
    if not isinstance(body, (str, bytes)):
        raise PolicyError(f"value={body!r} is not accepted: give JSON text or bytes")
    # Text counts in UTF-8: at least as many bytes as characters, so most of it need not be encoded to know.
    size = len(body) if isinstance(body, bytes) or len(body) > MAX_BODY_BYTES else len(body.encode())
    if size > MAX_BODY_BYTES:
        raise ValueTooLarge(f"the encoded value has {size} bytes; at most {MAX_BODY_BYTES} fit into an object's row")
    return body


def reply_with_error(error: BaseException) -> Reply:
    """The error as data."""
    kind, message = describe(error)
    return {"error": kind, "message": message}


def error_in(reply: Reply) -> HerdlessError | None:
    """The error that a reply tells of: herdless's own class, or RemoteLoadError for a loader's; None if it has none."""
    if "error" not in reply:
        return None
    kind = reply["error"]
    return _ERRORS[kind](reply["message"]) if kind in _ERRORS else RemoteLoadError(reply["message"], kind=kind)


def seconds(nanoseconds: int | None) -> float | None:
    """A duration as it is given and sent; None stays None."""
    return None if nanoseconds is None else nanoseconds / NANOSECONDS_PER_SECOND


def loaded(body: Body, ttl: int | None, stale_while_revalidate: int | None) -> Loaded[Body]:
    """The body with the durations, nanoseconds, that its value had."""
    return Loaded(body, ttl=seconds(ttl), stale_while_revalidate=seconds(stale_while_revalidate))


def body_in(reply: Reply) -> Body:
    """The value that a reply tells of, still encoded."""
    body: Body | memoryview = reply["value"]
    return bytes(body) if isinstance(body, memoryview) else body


_READER: Final = "\x1f"
"""Begins the names of reader objects, and of nothing else."""


def object_name(key: object, reader: int = 0) -> str:
    """The name of the object that owns the key, or of one of its readers, counted from 1."""
    if not isinstance(key, str) or key.startswith(_READER) or not key:
        raise PolicyError(
            f"key={shown(key)} is not accepted: give a text that is not empty and does not begin with U+001F"
        )
    return f"{_READER}{reader}{_READER}{key}" if reader else key


def key_of(name: str) -> tuple[str, bool]:
    """The key that the object of this name serves, and whether it is a reader."""
    if name.startswith(_READER):
        return name.split(_READER, 2)[2], True
    return name, False
