"""What crosses RPC: values as bodies, lookups as replies, errors as data.

A BODY is an encoded value: JSON text, or bytes. A reply is a plain object with a `value` (a body), or with an `error`
(the name of its class) and a `message`. An error is data because an exception would arrive as the text of a traceback,
and would break the caller's stub.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeAlias

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    HerdlessError,
    LoadCancelled,
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

MAX_NAME_BYTES: Final = 1_024
"""Of an object's name, in UTF-8. The platform does not tell a longer one to its object, which then knows no key."""


class ValueTooLarge(MisuseError, ValueError):
    """The encoded value does not fit into a row of the object's storage; nothing was written."""


class NotStored(HerdlessError):
    """The object's storage refused to write (its disk may be full): what was asked for is not durable."""


class ObjectUnreachable(HerdlessError):
    """The object did not answer, and asking again did not or would not help; the runtime's error is the `__cause__`."""


_ERRORS: Final[dict[str, type[HerdlessError]]] = {
    error.__name__: error
    for error in (LoadTimeout, LoadCancelled, ReentrantLoad, TooManyWaiters, ValueTooLarge, NotStored, PolicyError)
}


def encode(value: Any) -> Body:
    """Bytes as they are, everything else as JSON text. Raises TypeError or ValueError for what JSON cannot say."""
    if isinstance(value, bytes):
        return value
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can only say escaped
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text


def decode(body: Body) -> Any:
    """What `encode` was given."""
    return body if isinstance(body, bytes) else json.loads(body)


def checked(body: object) -> Body:
    """The body, its bytes as `bytes`. Raises PolicyError for what is no text or bytes, ValueTooLarge over the limit."""
    if isinstance(body, (memoryview, bytearray)):
        body = bytes(body)
    if not isinstance(body, (str, bytes)):
        raise PolicyError(f"value={shown(body)} is not accepted: give JSON text or bytes")
    size = len(body) if isinstance(body, bytes) else _size("value", body)
    if size > MAX_BODY_BYTES:
        raise ValueTooLarge(f"the encoded value has {size} bytes; at most {MAX_BODY_BYTES} fit into an object's row")
    return body


def checked_json(body: Body) -> Body:
    """The body, its text as JSON. Raises PolicyError for text that is none: whoever reads it could not."""
    if isinstance(body, str):
        try:
            json.loads(body, parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            raise PolicyError(f"value={shown(body)} is not accepted: give JSON text or bytes ({error})") from error
    return body


def _size(argument: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise PolicyError(
            f"{argument}={shown(text)} is not accepted: it has a lone surrogate at {error.start}, give Unicode text"
        ) from error


def _refused(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def reply_with_error(error: BaseException) -> Reply:
    """The error as data."""
    kind, message = describe(error)  # does not raise
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


def body_in(reply: Reply) -> Body:
    """The value that a reply tells of, still encoded."""
    body: Body | memoryview = reply["value"]
    return bytes(body) if isinstance(body, memoryview) else body


_READER: Final = "\x1f"
"""Begins the names of reader objects, and of nothing else."""

_READER_NAME: Final = re.compile(f"{_READER}[1-9][0-9]*{_READER}(.+)", re.DOTALL)


def object_name(key: object, reader: int = 0, *, replicas: int = 0) -> str:
    """The name of the object that owns the key, or of one of its readers, counted from 1 to `replicas`.

    Raises PolicyError for a key that cannot be one: whichever of its objects is asked, the answer is the same.
    """
    if not isinstance(key, str) or not key or key.startswith(_READER):
        raise PolicyError(
            f"key={shown(key)} is not accepted: give a text that is not empty and does not begin with U+001F"
        )
    longest = MAX_NAME_BYTES - (len(str(max(replicas, reader))) + 2 if replicas or reader else 0)
    size = _size("key", key)
    if size > longest:
        raise PolicyError(f"key={shown(key)} is not accepted: it has {size} bytes, give at most {longest}")
    return f"{_READER}{reader}{_READER}{key}" if reader else key


def key_of(name: object) -> tuple[str, bool]:
    """The key that the object of this name serves, and whether it is a reader. Raises PolicyError for another name."""
    if not isinstance(name, str):
        raise PolicyError(
            f"name={name!r} is not accepted: get the object by `getByName(key)`, with at most {MAX_NAME_BYTES} bytes"
        )
    reader = _READER_NAME.fullmatch(name)
    if reader is not None:
        return reader[1], True
    return object_name(name), False
