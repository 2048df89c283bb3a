"""How a key stands in a text: short, on one line, as the user says, and whatever the key does."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

import herdless
import herdless_core
import herdless_verify
from herdless_core import Join, Keyspace, Policy, PolicyError, ReentrantLoad, RunningLoad, Shown, reply_of, shown
from herdless_core._shown import MOST_CHARACTERS

ROOTS: Final = [Path(package.__path__[0]) for package in (herdless, herdless_core, herdless_verify)]


class Detached:
    """A row whose session is closed: its `repr` asks the database."""

    def __repr__(self) -> NoReturn:
        raise RuntimeError("not bound to a session")


class Silent:
    """Its `repr` is no text."""

    def __repr__(self) -> str:
        return None  # type: ignore[return-value]  # the mistake it stands for


@pytest.mark.parametrize("key", [Detached(), Silent(), 10**5_000], ids=["detached", "silent", "long"])
def test_a_key_whose_repr_fails_is_shown_by_its_type(key: object) -> None:
    """Where it is shown, a load is about to be started, or to be settled."""
    assert shown(key) == f"<{type(key).__qualname__} at {id(key):#x}: repr failed>"


def test_what_the_user_says_is_shown_and_nothing_else() -> None:
    """The key may be a token. When the function fails, too, nothing of the key is shown."""
    assert Shown(lambda key: f"token {len(key)}")("s3cr3t") == "token 6"
    failures: list[Any] = [lambda key: 1 / 0, lambda key: None, lambda key: key.encode()]
    for failing in failures:
        text = Shown(failing)("s3cr3t")
        assert text.startswith("<str at 0x")
        assert text.endswith(": show_key failed>")


def test_it_is_short_and_on_one_line() -> None:
    """A key may be a page of SQL; a line end in a log is another line, which anybody could write."""
    assert shown("x" * 1_000) == "'" + "x" * (MOST_CHARACTERS - 4) + "..."
    shouted = Shown(lambda key: key)
    assert shouted("a\nWARNING b\x1b[31m\udc80") == r"a\nWARNING b\x1b[31m\udc80"
    assert len(shouted("\n" * 79)) <= MOST_CHARACTERS
    assert shown("été") == "'été'"


def test_what_is_no_function_is_refused() -> None:
    """At once, and not when the first refresh fails at night."""
    with pytest.raises(PolicyError, match="show_key='token' is not accepted: give a function"):
        Shown("token")  # type: ignore[arg-type]  # the mistake


def test_errors_show_the_key_as_the_user_says() -> None:
    """An error's message is logged by somebody who does not know what was in it."""
    keyspace = Keyspace[object](Policy(), shown=Shown(lambda key: "hidden"))
    with pytest.raises(TypeError, match="the key hidden cannot be looked up: unhashable type"):
        keyspace.get(["s3cr3t"], 0)
    reply = reply_of(keyspace.get("s3cr3t", 0))
    assert isinstance(reply, Join)
    with pytest.raises(ReentrantLoad, match="the loader of hidden asks for hidden, whose load waits for it"):
        keyspace.get("s3cr3t", 0, keyspace.flights[reply.generation])


def test_a_key_of_another_cache_is_not_shown_by_this_ones_function() -> None:
    """Only the other cache knows whether its key is a secret."""
    keyspace, other = Keyspace[str](Policy()), RunningLoad("s3cr3t", 7, 0)
    reply = reply_of(keyspace.get("a", 0))
    assert isinstance(reply, Join)
    own = keyspace.flights[reply.generation]
    own.waits_for = (other,)
    with pytest.raises(ReentrantLoad, match="the loader of a key of another cache asks for 'a', whose"):
        keyspace.get("a", 0, other)


def _shown_by_repr(source: str) -> list[int]:
    """The lines in which a key is shown by `repr`: `{key!r}`, `repr(key)`, or a log's `%r`."""
    tree, lines = ast.parse(source), []
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__repr__"]
    allowed = {call for text in texts for call in ast.walk(text) if isinstance(call, ast.Call)}  # asked for by `Shown`
    for node in ast.walk(tree):
        match node:
            case ast.Call() if node in allowed:
                continue
            case ast.FormattedValue(value=value, conversion=114):
                found = [value]
            case ast.Call(func=ast.Name("repr" | "ascii" | "str"), args=[value]):
                found = [value]
            case ast.Call(func=ast.Attribute(attr="warning" | "error" | "debug" | "info" | "exception"), args=args):
                found = args[1:]
            case _:
                continue
        if any(ast.unparse(value).split(".")[-1].lstrip("_") == "key" for value in found):
            lines.append(node.lineno)
    return sorted(lines)


@pytest.mark.parametrize("path", [path for root in ROOTS for path in sorted(root.rglob("*.py"))], ids=str)
def test_no_text_has_a_key_by_its_repr(path: Path) -> None:
    """A `repr` may fail, and may be a secret."""
    assert _shown_by_repr(path.read_text(encoding="utf-8")) == []


def test_the_look_into_the_source_would_see_a_repr() -> None:
    """In each of the ways in which a text is made."""
    source = (
        'f"{key!r}"\nf"{self._key!r}"\nrepr(load.key)\nLOGGER.warning("%r", key)\nf"{key}"\nshown(key)\nf"{name!r}"'
    )
    assert _shown_by_repr(source) == [1, 2, 3, 4]
