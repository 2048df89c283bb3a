"""The steps of the specification under any policy, to be compared with those of the code.

TLC goes through the world of Watched.tla and tells every step of the machine; `herdless_verify.exploration.search` has
found the steps that `herdless_core.transition` takes in the same world. The two sets must be equal, orders
included, and so must the number of states and the number of ways that lead to them. With each step TLC tells which
formulas it could have broken, so that one whose situation never came about is known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, final

from herdless_core import NEVER, Policy
from herdless_verify.exploration.search import Exploration
from herdless_verify.exploration.ticks import TICK
from herdless_verify.exploration.world import Bounds, Outline
from herdless_verify.files import FOLDER
from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.graph import in_words, part
from herdless_verify.tlc.toolbox import Output, run_tlc
from herdless_verify.tlc.values import parse

PATTERN: Final = "ttl"
"""The configuration whose promises a user's policy is to keep."""

_BRACKETS: Final = re.compile(r"<<|>>|[\[\]{}]|, ")


@final
@dataclass(slots=True)
class Watched:
    """What TLC told."""

    output: Output
    steps: set[Outline] = field(default_factory=set)
    tried: Counter[str] = field(default_factory=Counter)
    """How often the situation of each formula came about."""
    moves: int = 0
    """How often one state led to another, by whatever move."""


def watched_run(name: str, policy: Policy, bounds: Bounds) -> Run:
    """The run of TLC for a policy that is in ticks."""
    return replace(
        load_runs()[PATTERN],
        name=name,
        module="Watched",
        specification="WatchedSpec",
        view="Amount",
        action_constraint="Told",
        policy=in_tla(policy),
        world={field.name: getattr(bounds, field.name) for field in fields(bounds)},
        graph=False,
        distinct=None,
        depth=None,
    )


def live_run(run: Run, name: str, policy: Policy, bounds: Bounds) -> Run:
    """The run of TLC which shows that everything comes to an end, for a policy that is in ticks.

    Here clients are told apart: that somebody waits for ever is said of each of them. And there is one truth: nothing
    that is said of whole behaviours is about values, while TLC would look at six times as many states.
    """
    return replace(
        watched_run(f"{name} ({run.name})", policy, replace(bounds, truths=1)),
        module=run.module,
        specification=run.specification,
        view="Ahead",
        action_constraint=None,
        invariants=run.invariants,
        properties=run.properties,
    )


def in_tla(policy: Policy) -> dict[str, Any]:
    """A policy in ticks, as a configuration says it."""
    lifetime = policy.lifetime
    durations = {
        "ttl": lifetime.ttl,
        "early_refresh": lifetime.early_refresh,
        "stale_while_revalidate": lifetime.stale_while_revalidate,
        "stale_if_error": lifetime.stale_if_error,
        "negative_ttl": policy.negative_lifetime.ttl,
        "load_timeout": policy.load_timeout,
        "refresh_backoff": policy.refresh_backoff,
    }
    found: dict[str, Any] = {key: "never" if value >= NEVER else value // TICK for key, value in durations.items()}
    found["answers"] = policy.answers is not None
    found["remember_timeouts"] = policy.remember_timeouts
    return found | {"max_waiters": "never" if policy.max_waiters >= NEVER else policy.max_waiters}


def watch(run: Run, folder: Path = FOLDER) -> Watched:
    """Run TLC and listen."""
    lines: set[str] = set()
    tried: Counter[str] = Counter()

    def listener(line: str) -> bool:
        if not line.startswith('<<"step", '):
            return False
        step, _, formulas = line.rpartition(", [")
        lines.add(step)
        tried[formulas] += 1
        return True

    found = Watched(run_tlc(run, folder=folder, listener=listener))
    for formulas, count in tried.items():
        for formula in re.findall(r"(\w+) \|-> TRUE", formulas):
            found.tried[formula] += count
    found.steps = {_step(line) for line in lines}
    found.moves = found.output.generated - 1
    return found


def _step(line: str) -> Outline:
    _, move, entry, detached, effects, entry_after, detached_after = _elements(line.removeprefix("<<"))
    return (
        parse(move),
        part("entry", entry),
        part("detached", detached),
        part("effects", effects),
        part("entry", entry_after),
        part("detached", detached_after),
    )


def _elements(text: str) -> Iterator[str]:
    """The elements of a sequence, as text."""
    depth = begin = 0
    for match in _BRACKETS.finditer(text):
        if match[0] in ("<<", "[", "{"):
            depth += 1
        elif match[0] != ", ":
            depth -= 1
        elif depth == 0:
            yield text[begin : match.start()]
            begin = match.end()
    yield text[begin:]


def differences(exploration: Exploration, specification: Watched) -> Iterator[str]:
    """In what code and specification differ, in lines; none where they are the same machine."""
    steps = exploration.steps
    only_code = [step for step in steps if step not in specification.steps]
    only_specification = [step for step in specification.steps if step not in steps]
    if only_code or only_specification:
        yield from _first_difference(exploration, only_code, only_specification)
    elif len(exploration.states) != specification.output.distinct:
        yield f"the code has {len(exploration.states):,} states, the specification {specification.output.distinct:,}"
    elif exploration.moves != specification.moves:
        yield f"the code moves in {exploration.moves:,} ways, the specification in {specification.moves:,}"


def _first_difference(
    exploration: Exploration, only_code: list[Outline], only_specification: list[Outline]
) -> Iterator[str]:
    """The way to the first step that the specification does not have, and what it has there."""
    if not only_code:
        yield f"the specification has {len(only_specification):,} steps that the code never takes, such as"
        yield from _words("the specification", min(only_specification, key=lambda step: len(str(step))))
        return
    first = only_code[0]  # in the order in which they were found
    path = exploration.path_to(exploration.steps[first])
    yield f"after: {' -> '.join(path) or 'nothing'}"
    yield from _words("the code", first)
    others = [step for step in only_specification if step[:3] == first[:3]]
    others.sort(key=lambda step: (-sum(mine == its for mine, its in zip(first, step, strict=True)), str(step)))
    for step in others[:1]:  # the one that comes closest
        yield from _words("the specification", step)
    yield f"{len(only_code):,} steps are the code's alone, {len(only_specification):,} the specification's"


def _words(side: str, step: Outline) -> Iterator[str]:
    move: Any = step[0]
    yield f"{move[0]}, by {side}:"
    names = ("entry", "detached", "effects", "entry", "detached")
    said = ("before", "removed before", "orders", "after", "removed after")
    for name, title, outline in zip(names, said, step[1:], strict=True):
        if outline or name == "effects":
            yield f"  {title}: {in_words(name, outline)}"
