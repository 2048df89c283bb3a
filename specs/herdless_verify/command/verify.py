"""`herdless verify`: whether the machine keeps its promises, under the user's own policy too."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from herdless._command._elsewhere import SUBCOMMANDS
from herdless._command._errors import CommandError
from herdless_verify.checkers.checks import CHECKERS
from herdless_verify.checkers.findings import POLICIES, Finding, Task, Work
from herdless_verify.checkers.pins import looked_at, shortfalls
from herdless_verify.command.page import as_html
from herdless_verify.command.policies import policies_named
from herdless_verify.command.remaining import remaining
from herdless_verify.command.verified import Verification, as_text
from herdless_verify.exploration.limits import limits
from herdless_verify.exploration.meaning import Requirement, requirement
from herdless_verify.tlc.toolbox import INSTALL

MISSING: Final = 2
NOT_FINISHED: Final = 3

DESCRIPTION: Final = """\
Check the promises of herdless on this machine: explore every state that a key
can reach (pure Python), check the TLA+ specification with TLC, and confirm the
contracts with CrossHair; then try the processes of a fleet in all orders of
small scenes. Prints a line for each promise and checker.
"""

EPILOG: Final = f"""\
The second and the third need {INSTALL}.

--policy takes the fields of Policy, as in
  herdless verify --policy ttl=60,stale_while_revalidate=300,load_timeout=2.5
answers= takes the name of an exception; whichever it is, the checkers let loads
end by such errors and by others.

--policy-of takes it from a cache of your own, as it is now:
  herdless verify --policy-of shop.caches:prices \\
    --require "age<=300" --require "wait<=2"
What a policy means is printed in sentences; --require takes the name at the end
of one, with <= or >= and a number of seconds.

Exit status: 0 all holds; 1 something does not, and a counterexample is printed;
2 for bad input, or when a checker's tool is missing: what could run has run;
3 when nothing is refuted, but a run came to no end within its bounds.
"""


def add_arguments(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add this subcommand's parser."""
    parser = subparsers.add_parser(
        "verify",
        help=SUBCOMMANDS["verify"],
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--policy",
        action="append",
        default=[],
        metavar="FIELD=VALUE,...",
        help="verify under this policy instead of a selection of small ones; may be given several times",
    )
    add(
        "--policy-of",
        action="append",
        default=[],
        metavar="MODULE:CACHE",
        help="verify under the policy of this cache, or function made by `cached`; may be given several times",
    )
    add(
        "--require",
        action="append",
        default=[],
        type=_requirement,
        metavar="NAME<=SECONDS",
        help="fail unless each policy keeps this; may be given several times",
    )
    add("--quick", action="store_true", help="a part of each check: ten to twenty seconds for a policy")
    add(
        "--with",
        dest="checkers",
        type=_checkers,
        default=tuple(CHECKERS),
        metavar="CHECKER,...",
        help=f"only these checkers, of {', '.join(CHECKERS)} (default: all)",
    )
    add("--report", metavar="FILE.html", help="write a page with the state graph, the promises and the runs as well")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the checkers and report; 1 if a promise is broken, 2 if a tool is missing."""
    policies = dict(policies_named(args.policy, args.policy_of)) or POLICIES
    if args.require and "explore" not in args.checkers:
        raise CommandError("--require is judged by the checker explore: name it in --with, or leave --with out")
    if args.report is not None and not Path(args.report).parent.is_dir():
        raise CommandError(f"--report {args.report}: there is no folder {Path(args.report).parent}")
    work = Work(policies, args.quick, required=tuple(args.require))
    tasks: list[Task] = []
    missing: dict[str, str] = {}
    for name in args.checkers:
        try:
            tasks += CHECKERS[name](work)
        except ModuleNotFoundError as error:
            missing[name] = f"{name} is left out: {error}" + ("" if "pip install" in str(error) else f": {INSTALL}")
    findings: list[Finding] = []
    with remaining([task.seconds for task in tasks]) as announce:
        for task in tasks:
            announce(task.name)
            findings += task.run()
    short = tuple(shortfalls(work, set(args.checkers) - missing.keys()))
    said = tuple(f"{name}: {line}" for name, policy in policies.items() for line in limits(policy))
    verification = Verification(
        tuple(policies),
        tuple(findings),
        tuple(missing.values()),
        looked_at(work),
        short,
        said,
        {name: tuple(meaning.sentences()) for name, meaning in work.meanings.items()},
    )
    sys.stdout.write(as_text(verification))
    if args.report is not None:
        _write(args.report, as_html(verification))
    if verification.broken or short:
        return 1
    if missing:
        return MISSING
    return NOT_FINISHED if verification.unfinished else 0


def _write(argument: str, page: str) -> None:
    try:
        Path(argument).write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--report {argument}: {error.strerror}") from error


def _checkers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in CHECKERS:
            raise argparse.ArgumentTypeError(f"{name!r} is not accepted: give some of {', '.join(CHECKERS)}")
    return names


def _requirement(text: str) -> Requirement:
    try:
        return requirement(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
