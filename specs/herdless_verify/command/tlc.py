"""`herdless trace --tlc`: a trace against the specification."""

from __future__ import annotations

from herdless._command._errors import CommandError
from herdless._command._source import Source
from herdless._command._terminal import printable, say
from herdless_verify.tlc import toolbox, traces


def is_right(source: Source) -> bool:
    """Check every key of the trace, and report; whether all that could be checked are behaviours of it."""
    try:
        validation = traces.validate({source.name: source.lines()})
    except toolbox.ToolMissing as missing:
        raise CommandError(f"--tlc: {missing}") from missing
    for reason in validation.left_out:
        say(printable(f"TLC: left out: {reason}"))
    for departed in validation.departed:
        say(f"TLC: {departed}")
    keys = validation.followed + len(validation.departed)
    if keys == 0:
        raise CommandError("--tlc: all keys are left out, so that nothing was checked")
    say(f"TLC: {validation.followed} of {keys} keys are behaviours of the specification")
    return not validation.departed
