"""What a lookup says to an HTTP client: the header fields Age (RFC 9111, 5.1) and Cache-Status (RFC 9211)."""

from __future__ import annotations

import math
import re
from typing import Final

from herdless_core import PolicyError

MOST_SECONDS: Final = 2**31
"""What Age says of anything older (RFC 9111, 1.2.2)."""

_TOKEN: Final = re.compile(r"[A-Za-z*][A-Za-z0-9:/!#$%&'*+\-.^_`|~]*")
_TEXT: Final = re.compile(r"[ -~]+")


def age(seconds: float) -> str:
    """The value of Age."""
    return str(min(max(0, int(seconds)), MOST_SECONDS))


def cache_status(name: object, how: str, was: str, ttl: float | None) -> str:
    """The value of Cache-Status: one cache's member of the list.

    name: what the cache is called, of printable ASCII; how: that of the lookup; was: the same, but that a stale value
    is told by how the lookup got it: "hit" at once, "joined" or "loaded" after waiting for a load that failed; ttl: for
    how many seconds more the value is fresh, 0 where it is not held or is stale, None where that is not known. Raises
    PolicyError for a name that no header can have.
    """
    parameters = []
    if was == "hit":
        parameters.append("hit")
        if how == "stale":
            parameters.append("detail=stale")  # for how long, a negative ttl would say
    else:
        parameters.append("fwd=stale" if how == "stale" else "fwd=miss")
        if how != "stale" and ttl:
            parameters.append("stored")
        if was == "joined":
            parameters.append("collapsed")
    if how != "stale" and ttl and math.isfinite(ttl):
        parameters.append(f"ttl={int(ttl)}")
    return "; ".join([_item(name), *parameters])


def _item(name: object) -> str:
    """The name as a token, or where it is none as a string (RFC 8941, 3.3)."""
    if not isinstance(name, str) or not _TEXT.fullmatch(name):
        raise PolicyError(f"name={name!r} is not accepted: give a text of printable ASCII characters")
    if _TOKEN.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
