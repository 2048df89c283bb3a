"""Printing what strangers wrote: keys, names and messages may hold what a terminal would obey."""

from __future__ import annotations

import sys

from herdless._trace.strict import escaped


def say(text: str) -> None:
    """Print the text, made printable, and end the line."""
    sys.stdout.write(printable(text, keep="\n") + "\n")


def printable(text: str, keep: str = "") -> str:
    """The text with escapes for what is not printable, or for which this terminal has no code.

    keep: characters that are left as they are.
    """
    encoding = sys.stdout.encoding or "utf-8"
    return escaped(text, keep).encode(encoding, "backslashreplace").decode(encoding)
