"""What the command has from another distribution, `herdless-verify`, which says by entry points what it brings."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, Final

from herdless._command._errors import CommandError

GROUP: Final = "herdless.commands"
"""The group of entry points. `verify` and `soak` are modules, as those of this package; `trace-tlc` is the function
that `herdless trace --tlc` calls: from the source of a trace to whether the specification allows it.
"""

SUBCOMMANDS: Final = {
    "verify": "check that the machine keeps its promises",
    "soak": "load the caches while everything goes wrong, and judge every step",
}
"""What each of them does, for `herdless --help`."""

INSTALL: Final = "pip install 'herdless[verify]'"


def brought(name: str) -> Any:
    """The object of this entry point. Raises CommandError, with what to install, where it is not there."""
    for entry in entry_points(group=GROUP, name=name):
        try:
            return entry.load()
        except ModuleNotFoundError as error:
            raise CommandError(f"{error}: {INSTALL}") from error
    raise CommandError(f"herdless-verify is not installed: {INSTALL}")
