"""Which runtimes can be had here: `--runtime`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, final

from herdless._command._errors import CommandError

T = TypeVar("T")

RUNTIMES: Final = ("asyncio", "trio", "threads")


@final
@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What a subcommand has for each runtime."""

    parts: dict[str, T]
    left_out: dict[str, str]
    """Why, in a sentence, by runtime."""


def find(asked: str, part: Callable[[str], T], *, left_out: Mapping[str, str] | None = None) -> Found[T]:
    """The part for the runtime that was asked for, or for all but those that are left out. Raises CommandError where
    one that was asked for by name cannot be had. part: raises ModuleNotFoundError where its runtime is not installed.
    """
    found: Found[T] = Found({}, {})
    for name in RUNTIMES if asked == "all" else (asked,):
        if left_out and name in left_out:
            found.left_out[name] = left_out[name]
            continue
        try:
            found.parts[name] = part(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            found.left_out[name] = f"{name} is not installed: pip install 'herdless[{name}]'"
    if not found.parts:
        raise CommandError(f"--runtime {asked}: {found.left_out[asked]}")
    return found
