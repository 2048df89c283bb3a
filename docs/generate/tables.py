"""The tables of docs/spec/: runs, contracts, mistakes, and the names in specification, trace and code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from herdless._trace.plain import EFFECTS, EVENTS, policy_to_plain
from herdless_core import (
    ABSENT,
    Absent,
    Cause,
    Entry,
    Evicted,
    Flight,
    Fresh,
    Keyspace,
    Lifetime,
    Pending,
    Policy,
    Stale,
    to_plain,
)
from herdless_verify.crosshair.contracts import OTHERS, Named, contracts
from herdless_verify.mistakes import controls, load_edits, load_mutants
from herdless_verify.mutants.search import CHECKERS, count, recorded
from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.graph import ORDERS, STATES
from herdless_verify.tlc.tla import operators, stated

RECORD: Final = Path(__file__).parents[1] / "spec" / "mutants.json"
"""What the checkers found when they last looked for all of the mistakes."""

MISTAKEN: Final = (
    "nothing_need_happen",
    "fleet_unfair",
    "fleet_without_fence",
    "fleet_lease_not_in_token",
    "fleet_trust_for_ever",
    "fleet_without_drop",
    "fleet_keeps_on_trust",
    "fleet_joins_old",
    "fleet_ttl_of_its_own",
)
"""The configurations that have a mistake, which must be found."""

REACH: Final = ("reach", "keyspace_reach", "tags_reach", "durable_reach", "fleet_reach")
"""The configurations in which situations must come about. What else must be refuted is not promised."""


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(headers)} |", "|---" * len(headers) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"


# What is refuted


def _refuted(*, reach: bool) -> Iterator[tuple[str, str, str]]:
    for run in load_runs().values():
        if run.expect == "refuted" and (run.name in REACH) == reach and run.name not in MISTAKEN:
            for each in stated(run):
                yield f"`{each.name}`", each.said, f"{run.name}: {run.why}"


def not_promised() -> str:
    """The claims that are refuted since nobody should rely on them."""
    return table(("claim", "what it says", "configuration"), _refuted(reach=False))


def must_be_possible() -> str:
    """The claims that are refuted since what they deny must come about."""
    return table(("claim", "what must come about", "configuration"), _refuted(reach=True))


# What is run


def configurations() -> str:
    """Every run of the model checker."""
    return table(
        ("configuration", "what is examined", "expectation", "states", "graph equal to the code's"),
        (_run(run) for run in load_runs().values()),
    )


def _run(run: Run) -> tuple[str, ...]:
    name = f"{run.name} (on request)" if run.slow else run.name
    number = len(stated(run))
    one, more = ("holds", "hold") if run.expect == "holds" else ("is refuted", "are refuted")
    expectation = {0: "every action is taken", 1: f"the one {one}"}.get(number, f"all {number} {more}")
    states = "-" if run.distinct is None else f"{run.distinct:,}"
    return name, run.why, expectation, states, "yes" if run.graph else "-"


def contract_list() -> str:
    """The contracts, each of which CrossHair confirms over all paths."""
    rows = ((contract.name, _confirmed(contract), "confirmed over all paths") for contract in contracts())
    return table(("contract", "what it confirms", "verdict"), rows)


def _confirmed(contract: Named) -> str:
    if contract.promises == OTHERS:
        return f"{len(OTHERS)} predicates, {OTHERS[0]} to {OTHERS[-1]}"
    return ", ".join(contract.promises)


def mistakes() -> str:
    """Which checker finds which mistake, as it was recorded."""
    found = {entry["mutant"]: entry["found"] for entry in recorded(RECORD)}
    rows = [
        (mutant.name, *(found[mutant.name][checker] or "-" for checker in CHECKERS), str(count(found[mutant.name])))
        for mutant in load_mutants()
    ]
    return table(("mistake", *CHECKERS, "found by"), rows)


def edits() -> str:
    """The edits that break no promise."""
    return table(("edit",), ((edit.name,) for edit in load_edits()))


def control_list() -> str:
    """For each check the mistake that it has to refute."""
    kinds = {
        "predicates": "predicate",
        "over_steps": "over several steps",
        "formulas": "formula",
        "contracts": "contract",
    }
    rows = ((kind, f"`{check}`", name) for key, kind in kinds.items() for check, name in controls(key).items())
    return table(("check", "of", "must refute"), rows)


# What things are called


def moves() -> str:
    """What can happen: action of the specification, event in a trace, event and method in the code."""
    return table(("specification", "trace", "code"), (_move(name) for name in _actions()))


def _actions() -> list[str]:
    """The actions of the specification, in its order."""
    return re.findall(r"\\/ (?:\\E .* : )?(\w+)", operators("CacheEntry")["Step"].text)


def _move(name: str) -> tuple[str, str, str]:
    if name not in EVENTS:
        return f"`{name}`", *OUTSIDE[name]
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    by = f", by `Keyspace.{method}`" if hasattr(Keyspace, method) else ", when room is short"
    return f"`{name}`", f'`"event": {{"event": "{name}", ...}}`', f"`{name}`{by}"


OUTSIDE: Final = {
    "LoadReads": ("-", "what the loader does"),
    "TruthChanges": ("-", "-"),
    "Tick": ("a later `now`", "a later `now`"),
}
"""The actions of the world that are no business of the machine."""


def entries() -> str:
    """The states, and what they hold."""
    return table(("specification", "trace", "code"), (_entry(entry) for entry in _examples()))


def _examples() -> tuple[Entry, ...]:
    flight, lifetime = Flight(1, 0, 0, 0), Lifetime(0, 0, 0, 0)
    fresh, stale = Fresh(0, 0, lifetime, 0, flight, 0), Stale(0, 0, 0, 0, 0, flight)
    return (ABSENT, Pending(flight), fresh, stale, Evicted(Cause.EVICTED, flight))


def _entry(entry: Entry) -> tuple[str, str, str]:
    name = type(entry).__name__
    plain = to_plain(entry, lambda value: value)
    kept = [key for key in plain if key != "state"]
    mine = [] if isinstance(entry, Absent) else [field.name for field in fields(entry)]
    specified = [field for field in STATES[name] if not isinstance(entry, Absent)]
    return (
        f"`{name}`: {_code(specified)}",
        f'`"{plain["state"]}"`: {_code(kept)}',
        f"`{name}`: {_code(mine)}",
    )


def orders() -> str:
    """What the machine orders."""
    return table(("specification", "trace", "code"), (_order(name, parts) for name, parts in ORDERS.items()))


def _order(name: str, parts: Sequence[str]) -> tuple[str, str, str]:
    mine = [field.name for field in fields(EFFECTS[name])]
    return f"`{name}`: {_code(parts)}", f'`"effect": "{name}"`: {_code(mine)}', f"`{name}`: {_code(mine)}"


def policy() -> str:
    """The policy's fields. What the specification does not have, does not change what an entry may do."""
    run = load_runs()["ttl"]
    constants: dict[str, Any] = {name: "".join(word.capitalize() for word in name.split("_")) for name in run.policy}
    known = sorted(Policy.__init__.__kwdefaults__ or {}, key=lambda name: (name not in constants, name))
    traced = policy_to_plain(Policy(ttl=1))
    rows = (
        (_code([constants[name]] if name in constants else []), _code({name} & traced.keys()), _code([name]))
        for name in known
    )
    return table(("specification", "trace", "code"), rows)
