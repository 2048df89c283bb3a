"""User profiles by name: one object for each, one request to the origin however many ask."""

import hmac
import json
import logging
import re
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from workers import Response, WorkerEntrypoint, fetch

from herdless import HerdlessError
from herdless.durable_objects import CacheClient, CacheObject, ObjectUnreachable, Policy

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
"""What a user may be called. Nothing else reaches an object or the origin: no path, no control character."""

STATUS = {"UserNotFound": 404, "OriginFailed": 502, "LoadTimeout": 504, "TooManyWaiters": 503}
"""Of the errors whose message is for everybody; any other is told as a bad gateway."""

HEADERS = {"cache-control": "private, no-cache", "x-content-type-options": "nosniff"}
"""Whoever keeps an answer asks again, so that an invalidation binds at once."""


class UserNotFound(LookupError):
    """The origin knows no such user."""


class OriginFailed(Exception):
    """The origin answered with something else than a user."""


class UserCache(CacheObject):
    """One user, fresh for a minute, served stale for five more while it is refreshed."""

    policy = Policy(ttl=60, stale_while_revalidate=300, negative_ttl=5, load_timeout=10)

    async def load(self, key: str) -> Any:
        """Ask the origin."""
        response = await fetch(f"{self.env.ORIGIN_URL}/users/{quote(key, safe='')}")
        if response.status == 404:
            raise UserNotFound("no such user")
        if not response.ok:
            raise OriginFailed(f"the origin answered {response.status}")
        return await response.json()


class Default(WorkerEntrypoint):
    """The Python front: for when a request needs more than to be routed."""

    async def fetch(self, request: Any) -> Any:
        """`GET /name` answers with the user; `DELETE /name`, with the token, says that it has changed."""
        if request.method not in {"GET", "HEAD", "DELETE"}:
            return text("GET, HEAD or DELETE", 405, allow="GET, HEAD, DELETE")
        name = name_in(request.url)
        if name is None:
            return text("that is no user's name", 400)
        if request.method == "DELETE" and not self.may_invalidate(request):
            return text("who are you?", 401, **{"www-authenticate": "Bearer"})
        users = CacheClient(self.env.USERS)
        try:
            if request.method == "DELETE":
                await users.invalidate(name)
                return Response(None, status=204, headers=HEADERS)
            user = await users.lookup(name)
        except ObjectUnreachable:
            return text("try again", 503, **{"retry-after": "1"})
        except HerdlessError as error:
            return answer_to(error)
        headers = {"content-type": "application/json", "age": str(int(user.age)), "x-cache": user.how}
        body = None if request.method == "HEAD" else json.dumps(user.value)
        return Response(body, headers={**HEADERS, **headers})

    def may_invalidate(self, request: Any) -> bool:
        """Whether the request brings the token; where none is set, nobody may."""
        token = getattr(self.env, "INVALIDATION_TOKEN", None)
        given = request.headers.get("authorization") or ""
        return bool(token) and hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def name_in(url: str) -> str | None:
    """The user's name, or None where there is none that one may have."""
    try:
        name = unquote(urlsplit(url).path[1:], errors="strict")
    except UnicodeDecodeError:
        return None
    return name if NAME.fullmatch(name) else None


def answer_to(error: HerdlessError) -> Any:
    """The error with its message, where that is for everybody."""
    kind = getattr(error, "kind", type(error).__name__)
    if kind in STATUS:
        return text(str(error), STATUS[kind])
    logging.getLogger("users").error("%s: %s", kind, error)  # for us; a stranger is not told
    return text("the user cannot be had now", 502)


def text(message: str, status: int, **headers: str) -> Any:
    """A short answer."""
    return Response(f"{message}\n", status=status, headers={**HEADERS, "content-type": "text/plain", **headers})
