"""The `herdless` command: `python -m herdless`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final, NoReturn, final

from herdless._command import _elsewhere, herd, trace
from herdless._command._errors import CommandError

BAD_INPUT: Final = 2
INTERRUPTED: Final = 130  # as shells say it: 128 + SIGINT
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE

DESCRIPTION: Final = """\
herdless is a cache without the thundering herd: a load in flight and a cached
value are two states of one entry, so that a miss never starts a second load.
"""

EPILOG: Final = """\
Without a COMMAND, `herdless` is `herdless herd`; `herdless herd --help` says
what can be set. Exit status: 0 all was well, 1 a promise was broken, 2 bad
input, 130 interrupted.
"""


@final
class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status. `argv`: the arguments without the program's name."""
    arguments = _with_subcommand(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser(arguments[0]).parse_args(arguments)
        status: int = options.run(options)
        sys.stdout.flush()
    except CommandError as error:
        print(f"herdless {arguments[0]}: {error}", file=sys.stderr)  # noqa: T201  # a command prints
        return BAD_INPUT
    except KeyboardInterrupt:
        print("herdless: interrupted", file=sys.stderr)  # noqa: T201  # a command prints
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


def _with_subcommand(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `herd` in front where they name no subcommand."""
    if arguments and (not arguments[0].startswith("-") or arguments[0] in ("-h", "--help", "--version")):
        return list(arguments)
    return ["herd", *arguments]


def _parser(asked: str) -> _Parser:
    """The parser. asked: the subcommand that is to be run; of the others from elsewhere nothing is loaded."""
    parser = _Parser(
        prog="herdless",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"herdless {version('herdless')}")
    subparsers = parser.add_subparsers(title="subcommands", metavar="COMMAND", required=True)
    herd.add_arguments(subparsers)
    trace.add_arguments(subparsers)
    for name, what in _elsewhere.SUBCOMMANDS.items():
        if name == asked:
            _elsewhere.brought(name).add_arguments(subparsers)
        else:
            subparsers.add_parser(name, help=what)
    return parser


if __name__ == "__main__":
    sys.exit(main())
