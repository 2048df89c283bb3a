"""docs/how-to/migrate.md: every word of both sides is a word of that package, with those arguments."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiocache
import async_lru
import cachetools
import cashews
import dogpile.cache
import pytest

import herdless
import herdless.asyncio
import herdless.testing
import herdless.threads

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "migrate.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}


async def awaited(number: int) -> int:
    """Something to decorate."""
    return number


def plain(number: int) -> int:
    """Something to decorate."""
    return number


THERE: Mapping[str, Mapping[str, Any]] = {
    "functools.lru_cache": {"lru_cache": functools.lru_cache, "f": functools.lru_cache(plain)},
    "async-lru": {"alru_cache": async_lru.alru_cache, "f": async_lru.alru_cache(awaited)},
    "cachetools": {
        **{name: getattr(cachetools, name) for name in ("cached", "LRUCache", "TTLCache", "TLRUCache")},
        "f": cachetools.cached(cachetools.LRUCache(2))(plain),
        "cache": cachetools.LRUCache(2),
    },
    "aiocache": {
        "cached": aiocache.cached,
        "cached_stampede": aiocache.cached_stampede,
        "cache": aiocache.SimpleMemoryCache(),
    },
    "cashews": {"cache": cashews.Cache()},
    "dogpile.cache": {"make_region": dogpile.cache.make_region, "region": dogpile.cache.make_region()},
}


def here(section: str) -> Mapping[str, Any]:
    """The words of herdless for a section: those of the runtime that its table names."""
    module = herdless.asyncio if "from `herdless.asyncio`" in SECTIONS[section] else herdless.threads
    function = awaited if module is herdless.asyncio else plain
    return {
        "cached": module.cached,
        "Cache": module.Cache,
        "Loaded": herdless.Loaded,
        "Policy": herdless.Policy,
        "f": module.cached()(function),
        "cache": module.Cache(ttl=60),
        "disabled": herdless.testing.disabled,
    }


def words(section: str) -> list[tuple[str, str]]:
    """Each code in its table, and on which side it stands."""
    found = []
    for row in re.findall(r"^\| (?!there \|)(.*) \| (.*) \|$", SECTIONS[section], re.MULTILINE):
        for side, cell in zip(("there", "here"), row, strict=True):
            found += [(side, code) for code in re.findall(r"`([^`]+)`", cell)]
    return found


IGNORED = {"timedelta", "NO_VALUE", "herdless.threads", "herdless.asyncio", "herdless.testing"}

CASES = [(section, side, code) for section in SECTIONS for side, code in words(section) if code not in IGNORED]


@pytest.mark.parametrize(("section", "side", "code"), CASES, ids=lambda part: part)
def test_word_exists_and_takes_these_arguments(section: str, side: str, code: str) -> None:
    """Nobody is sent to a method that is not there."""
    names = dict(THERE[section] if side == "there" else here(section))
    tree = ast.parse(code, mode="eval").body
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and not any_call_in(node):
            eval(compile(ast.Expression(node), "page", "eval"), names)  # noqa: S307 - the page's own words
        if isinstance(node, ast.Call) and not any_call_in(node.func):
            called = eval(compile(ast.Expression(node.func), "page", "eval"), names)  # noqa: S307
            accepts(called, [each.arg for each in node.keywords if each.arg])
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute) and any_call_in(tree.func):
        inner = eval(compile(ast.Expression(tree.func), "page", "eval"), names)  # noqa: S307
        accepts(inner, [each.arg for each in tree.keywords if each.arg])


def any_call_in(node: ast.AST) -> bool:
    """Whether something would have to be called to have it."""
    return any(isinstance(each, ast.Call) for each in ast.walk(node))


def accepts(called: Any, keywords: list[str]) -> None:
    """Fails unless all of these are keyword arguments of it."""
    try:
        parameters = inspect.signature(called).parameters
    except ValueError:  # written in C
        return
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    if not takes_any:
        assert set(keywords) <= set(parameters), f"{keywords} of {inspect.signature(called)}"
        return
    if "Unpack" in str(parameters):
        known = set(parameters) | set(herdless.Policy.__init__.__annotations__) | OPTIONS
        assert set(keywords) <= known


OPTIONS = {"clock", "maxsize", "maxweight", "weigh", "key", "observe", "name"}
"""Of a cache, beside the policy."""


def test_a_wrong_word_would_be_found() -> None:
    """The look above can fail."""
    with pytest.raises(AssertionError):
        accepts(plain, ["nothing"])


def test_every_section_is_looked_up() -> None:
    """One without its words in the test would be passed over."""
    assert list(SECTIONS) == list(THERE)
