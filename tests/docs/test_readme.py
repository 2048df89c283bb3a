"""The README is a page long, and its endpoint is one: what a newcomer tries first."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_readme_is_a_page_with_one_picture() -> None:
    """Tables and all the rest are on the site."""
    assert README.count("\n") < 150
    assert len(re.findall(r"!\[", README)) == 1
    assert len(BLOCKS) == 4
    assert "\npip install herdless\n" in README


def test_endpoint_of_the_readme_loads_once_for_a_herd() -> None:
    """Through FastAPI, with its path parameter and its answer."""
    names: dict[str, Any] = {}
    exec(BLOCKS[0], names)  # noqa: S102 - the README's own code
    queries = []

    async def query(seconds: float) -> None:
        queries.append(seconds)

    names["asyncio"] = SimpleNamespace(sleep=query)
    app: FastAPI = names["app"]

    async def herd() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            answers = await asyncio.gather(*(client.get("/users/7") for _ in range(20)))
            wrong = await client.get("/users/nobody")
        return [*answers, wrong]

    *answers, wrong = asyncio.run(herd())
    assert [answer.json() for answer in answers] == [{"id": 7}] * 20
    assert len(queries) == 1
    assert wrong.status_code == 422
