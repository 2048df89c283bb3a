"""What the `herdless` command is made of: one module for each subcommand, and what they share.

A subcommand is a module of this package, named like it, with `add_arguments(subparsers)`, which adds its parser and
`set_defaults(run=run)`, and `run(args) -> int`, which returns the exit status. Naming it in SUBCOMMANDS is all else it
needs. Bad input is a CommandError, raised anywhere: one line on stderr, exit status 2.

The exit status is 0 when all was well, 1 when a promise of herdless was broken, 2 for bad input, 130 after Ctrl-C.
"""

from __future__ import annotations

from typing import Final

SUBCOMMANDS: Final = ("herd", "soak", "verify", "trace")
