"""A counterexample of TLC as a table of steps, in the words of the design."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from herdless_verify.tlc.configurations import NEVER_IN_TLA
from herdless_verify.tlc.values import parse, parse_state

if TYPE_CHECKING:
    from rich.table import Table

_STATE: Final = re.compile(r"^State (\d+): (.*)\n((?:/\\ .*\n(?:(?!State |/\\ |\n).*\n)*)+)", re.MULTILINE)
_ERRORS: Final = {-1: "its error", -2: "an error that is not remembered", -3: "LoadTimeout", -4: "an answer"}


def counterexample(text: str) -> Table | None:
    """The steps of the behaviour in TLC's output; None where it shows none."""
    from rich.markup import escape
    from rich.table import Table

    states = [(title, parse_state(body)) for _, title, body in _STATE.findall(text)]
    if not states:
        return None
    of_entry = "effects" in states[0][1]
    table = Table("", "what happens", *(("entry", "orders", "the world") if of_entry else ("afterwards",)))
    for number, (title, variables) in enumerate(states):
        row = _of_entry(variables) if of_entry else (_changes(variables, states[number - 1][1] if number else {}),)
        name = _noted(variables["move"]) if "move" in variables else _name(title)
        table.add_row(str(number), name, *map(escape, row))
    if "Back to state" in text or "Stuttering" in text:
        table.caption = "and so on for ever"
    return table


def _name(title: str) -> str:
    found = re.match(r"<(\w+)", title)
    return "" if found is None or found[1] == "Initial" else found[1]


def _noted(move: str) -> str:
    """Where every move is an action of one name, it is told by a variable."""
    found = re.search(r'"(\w+)"', move)
    return "" if found is None else found[1]


def _of_entry(variables: Mapping[str, str]) -> tuple[str, str, str]:
    values = {name: parse(text) for name, text in variables.items()}
    entry = _entry(values["entry"])
    removed = "".join(f"\nremoved: {_flight(each['flight'])}" for each in values["detached"])
    return entry + removed, "\n".join(_order(order) for order in values["effects"]), "\n".join(_world(values))


def _entry(entry: Mapping[str, Any]) -> str:
    parts = [entry["state"]]
    if "value" in entry:
        parts.append(f"{_value(entry['value'])}, {entry['age']} old")
    windows = ("refresh_at", "stale_until", "kept_until", "retry_at")
    parts += [f"{name} {_instant(entry[name])}" for name in windows if name in entry]
    if entry["flight"]["generation"]:
        parts.append(_flight(entry["flight"]))
    return "; ".join(parts)


def _flight(flight: Mapping[str, Any]) -> str:
    due = "" if flight["due_at"] == NEVER_IN_TLA else f", due {_instant(flight['due_at'])}"
    return f"flight {flight['generation']}, {flight['waiters']} waiting{due}"


def _order(order: Mapping[str, Any]) -> str:
    parts = [order["order"]]
    if "generation" in order:
        parts.append(str(order["generation"]))
    if "leads" in order:
        parts.append("as its first waiter" if order["leads"] else "as one more waiter")
    if "outcome" in order:
        outcome = order["outcome"]
        parts.append(f"with {_value(outcome['value'])}{', stale' if outcome['is_stale'] else ''}")
    return " ".join(parts)


def _world(values: Mapping[str, Any]) -> Iterator[str]:
    if values["truth"] > 1:
        yield f"the truth is {values['truth']}; nothing older than {values['floor']} may be served"
    for load in sorted(values["loads"], key=lambda load: int(load["generation"])):
        yield f"load {load['generation']} " + (f"has read {load['read']}" if load["read"] else "has not read")
    for number, client in enumerate(values["clients"], 1):
        if client["waits_for"]:
            yield f"caller {number} waits for flight {client['waits_for']}"


def _value(value: int) -> str:
    return _ERRORS.get(value, f"value {value}")


def _instant(ticks: int) -> str:
    return "never" if ticks == NEVER_IN_TLA else "past" if ticks == 0 else f"in {ticks}"


def _changes(variables: Mapping[str, str], before: Mapping[str, str]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in variables.items() if before.get(name) != value)
