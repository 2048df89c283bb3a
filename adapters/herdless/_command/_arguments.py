"""What the options of more than one subcommand accept. Each raises ArgumentTypeError, which becomes the one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

MOST: Final = 100_000
"""Of what is counted: beyond, the herd itself would fill the memory."""


def count(text: str) -> int:
    """An integer from 1 to MOST."""
    number = _integer(text)
    if number is None or not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give an integer from 1 to {MOST:,}")
    return number


def seed(text: str) -> int:
    """Any integer."""
    number = _integer(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give an integer")
    return number


def seconds(least: float, most: float) -> Callable[[str], float]:
    """A number of seconds within the two."""

    def seconds(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not least <= number <= most:  # NaN is refused too
            accepted = f"give a number of seconds from {least:g} to {most:,.0f}"
            raise argparse.ArgumentTypeError(f"{text!r} is not accepted: {accepted}")
        return number

    return seconds


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
