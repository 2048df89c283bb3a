"""User profiles by name: one object for each, one request to the origin however many ask."""

import json
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from workers import Response, WorkerEntrypoint, fetch

from herdless import HerdlessError
from herdless.durable_objects import CacheClient, CacheObject, Policy


class UserCache(CacheObject):
    """One user, fresh for a minute, served stale for five more while it is refreshed."""

    policy = Policy(ttl=60, stale_while_revalidate=300, negative_ttl=5, load_timeout=10)

    async def load(self, key: str) -> Any:
        """Ask the origin."""
        response = await fetch(f"{self.env.ORIGIN_URL}/users/{quote(key)}")
        if not response.ok:
            raise LookupError(f"the origin answered {response.status}")
        return await response.json()


class Default(WorkerEntrypoint):
    """The Python front: for when a request needs more than to be routed."""

    async def fetch(self, request: Any) -> Any:
        """`GET /name` answers with the user; `DELETE /name` says that it has changed."""
        key = unquote(urlsplit(request.url).path).lstrip("/")
        users = CacheClient(self.env.USERS)
        try:
            if request.method == "DELETE":
                await users.invalidate(key)
                return Response(None, status=204)
            user = await users.lookup(key)
        except HerdlessError as error:
            return Response(str(error), status=502)
        headers = {"content-type": "application/json", "age": str(int(user.age)), "x-cache": user.outcome}
        return Response(json.dumps(user.value), headers=headers)
