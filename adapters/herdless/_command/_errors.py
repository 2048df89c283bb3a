"""Bad input to the command."""

from __future__ import annotations

from typing import final


class CommandError(Exception):
    """The command cannot do what it was asked: the message is one line, for the user."""


@final
class LoaderFailed(CommandError):
    """The user's own loader or database raised during the run."""


def in_a_line(error: BaseException) -> str:
    """The exception as one line: its type, and the first line of what it says."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
