"""Every promise with all that is said and checked of it, for docs/spec/promises.md."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, final

from herdless_core.invariants import INVARIANTS
from herdless_core.table import EVENTS
from herdless_verify.crosshair.contracts import contracts
from herdless_verify.exploration.search import is_everyone_counted, is_nothing_outdated
from herdless_verify.tlc.configurations import load_runs
from herdless_verify.tlc.tla import Operator, operators, stated

ROOT: Final = Path(__file__).parents[2]
RUNS: Final = load_runs()
SCENARIOS: Final = tuple(
    f"specs/herdless_verify/contract/{name}.py"
    for name in ("promises", "decisions_on_soft_timeouts", "decisions_on_values", "tags")
)
MODULES: Final = ("CacheEntryInv", "Keyspace", "Tags", "Durable", "Fleet", "Pool")
"""Where promises are stated, the first of them for one key."""

MANY: Final = 4
"""More configurations than these are not told one by one."""

OVER_STEPS: Final[Mapping[str, Callable[..., bool]]] = {
    "AnsweredOnce": is_everyone_counted,
    "NoStaleRead": is_nothing_outdated,
}
"""What the exploration judges beside the predicate, since one step alone cannot show it."""

WITHOUT_PREDICATE: Final = {
    "EveryGetAnswered": "No predicate of one step can state it.",
    "TagsInvalidate": "No predicate of one step can state it: an entry knows nothing of tags.",
    "StaleIsRefreshed": "No predicate of one step can state it. That a refresh is there, or backs off, says HitAge.",
}
WITHOUT_FORMULA: Final = {
    "TimeShift": "There is no formula: in the specification instants count from now, so it cannot be broken there.",
}
STATEFUL: Final = {
    "EveryGetAnswered": "in the end of every life all loads end, and everybody who waits is answered",
    "StaleIsRefreshed": "every answer, and every load that is started, is compared with those of the naive cache",
    "TagsInvalidate": "every answer is judged by when its value was read, its tags were invalidated, and who is "
    "answered had asked; and the index of tags is compared with what is held",
    "Bounded": "every step of every life is judged, and after each one the values are counted",
}


@final
@dataclass(frozen=True, slots=True)
class Promise:
    """One row of the table in docs/reference/promises.md."""

    name: str
    words: str
    letters: str
    """Which checkers guard it: E T C S R, as that page explains them."""


@cache
def promised() -> tuple[Promise, ...]:
    """The promises of docs/reference/promises.md, in its order."""
    text = (ROOT / "docs" / "reference" / "promises.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (.*) \| ([ETCSR ]+) \|$", text, re.MULTILINE)
    return tuple(Promise(*row) for row in rows)


def letters(name: str) -> str:
    """Which checkers really guard a promise."""
    found = {
        "E": name in INVARIANTS,
        "T": bool(formulas(name)),
        "C": bool(contracts_of(name)),
        "S": name in INVARIANTS or name in STATEFUL,
        "R": bool(scenarios(name)),
    }
    return " ".join(letter for letter, is_there in found.items() if is_there)


def formulas(name: str) -> list[Operator]:
    """The operators of the specification that state a promise."""
    return [each for module in MODULES for each in operators(module).values() if each.promise == name and _is_run(each)]


def _is_run(operator: Operator) -> bool:
    return bool(runs_of(operator))


def runs_of(operator: Operator) -> list[str]:
    """The configurations in which TLC judges it."""
    runs = [run for run in RUNS.values() if run.expect == "holds" and operator in stated(run)]
    return [f"{run.name} (on request)" if run.slow else run.name for run in runs]


def contracts_of(name: str) -> list[str]:
    """The contracts that confirm it."""
    return [contract.name for contract in contracts() if name in contract.promises]


def scenarios(name: str) -> tuple[str, ...]:
    """The scenarios of the contract suite that begin with its name."""
    return tuple(scenario for path in SCENARIOS for scenario in scenarios_in(path, name))


@cache
def scenarios_in(path: str, name: str) -> tuple[str, ...]:
    """Those in this file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
    return tuple(node.name for node in functions if re.match(rf"{name}\b", ast.get_docstring(node) or ""))


@cache
def broken_on_purpose() -> tuple[str, ...]:
    """For each way in which tests/core/test_invariants.py breaks a promise, its name."""
    tree = ast.parse((ROOT / "tests" / "core" / "test_invariants.py").read_text(encoding="utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)]
    firsts = [
        value.elts[0] for table in tables for value in table.values if isinstance(value, ast.Tuple) and value.elts
    ]
    return tuple(first.value for first in firsts if isinstance(first, ast.Constant) and isinstance(first.value, str))


def overview() -> str:
    """Each promise in a line, with where it is said and how often it is checked."""
    lines = ["| promise | in plain words | TLA+ | predicate | TLC runs | contracts | scenarios |", "|---" * 7 + "|"]
    for promise in promised():
        stating = formulas(promise.name)
        runs = {run for operator in stating for run in runs_of(operator)}
        predicate = f"`{INVARIANTS[promise.name].__name__}`" if promise.name in INVARIANTS else "-"
        cells = [f"[{promise.name}](promises.md#{promise.name.lower()})", promise.words]
        cells += [", ".join(dict.fromkeys(f"`{operator.name}`" for operator in stating)) or "-", predicate]
        cells += [
            str(count or "-") for count in (len(runs), len(contracts_of(promise.name)), len(scenarios(promise.name)))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def promise_sections() -> str:
    """A section for each promise of that table."""
    return "\n".join(line for promise in promised() for line in _section(promise.name, promise.words))


def foundations() -> str:
    """A section for what else is checked, and the promises rest on."""
    known = {promise.name for promise in promised()}
    stating = [each.promise for module in MODULES for each in operators(module).values() if _is_run(each)]
    others = [name for name in dict.fromkeys((*INVARIANTS, *stating)) if name not in known]
    return "\n".join(line for name in others for line in _section(name, ""))


def _section(name: str, words: str) -> Iterator[str]:
    yield f"### {name}\n"
    if words:
        yield f"{words[0].upper()}{words[1:]}.\n"
    stating = formulas(name)
    for operator in stating:
        yield f"In [{operator.module}.tla](../../specs/{operator.module}.tla): {operator.said}\n"
        yield f"```tla\n{operator.text}\n```\n"
    if not stating:
        yield f"{WITHOUT_FORMULA.get(name, 'The specification does not state it.')}\n"
    yield from _predicate(name)
    yield "Checked by:\n"
    yield from _checks(name, stating)
    yield ""


def _runs_in_words(runs: tuple[str, ...]) -> str:
    """Where they are many, the first and the last are told; the page that has all of them is linked."""
    if len(runs) > MANY:
        return f"{len(runs)} [configurations](checkers.md#tlc), from {runs[0]} to {runs[-1]}"
    return f"the [configuration{'s' * (len(runs) > 1)}](checkers.md#tlc) {', '.join(runs)}"


def _contracts_in_words(name: str) -> str:
    """Those that there are for every event are told in one."""
    endings = [contract.partition(": ")[2] for contract in contracts_of(name)]
    if len(endings) >= len(EVENTS) and len(set(endings)) == 1:
        return f'the contract "{endings[0]}" of each of the {len(EVENTS)} events'
    return ", ".join(f'"{contract}"' for contract in contracts_of(name))


def _predicate(name: str) -> Iterator[str]:
    judge = INVARIANTS.get(name)
    if judge is None:
        if name in WITHOUT_PREDICATE:
            yield f"{WITHOUT_PREDICATE[name]}\n"
        return
    file = Path(inspect.getfile(judge)).name
    yield f"In [{file}](../../core/herdless_core/{file}):\n"
    yield f"```python quoted\n{inspect.getsource(judge).rstrip()}\n```\n"
    if name in OVER_STEPS:
        yield "Over several steps, in [search.py](../../specs/herdless_verify/exploration/search.py):\n"
        yield f"```python quoted\n{inspect.getsource(OVER_STEPS[name]).rstrip()}\n```\n"


def _checks(name: str, stating: list[Operator]) -> Iterator[str]:
    if name in INVARIANTS:
        yield "- exploration: every step of every state that a key can reach (`herdless verify --with explore`)"
    for runs in dict.fromkeys(tuple(runs_of(operator)) for operator in stating):
        names = dict.fromkeys(f"`{operator.name}`" for operator in stating if tuple(runs_of(operator)) == runs)
        yield f"- TLC: {', '.join(names)} in {_runs_in_words(runs)}"
    if contracts_of(name):
        yield f"- CrossHair, confirmed over all paths: {_contracts_in_words(name)}"
    if name in INVARIANTS or name in STATEFUL:
        what = STATEFUL.get(name, "every step of every life is judged")
        lives = "tests/core/test_tags.py" if name == "TagsInvalidate" else "tests/core/test_stateful.py"
        yield f"- Hypothesis: [{lives}](../../{lives}), {what}"
    for path in SCENARIOS:
        shown = ", ".join(f"`{scenario}`" for scenario in scenarios_in(path, name))
        if shown:
            yield f"- every runtime: [{path}](../../{path}), {shown}"
    broken = broken_on_purpose().count(name)
    if broken:
        ways = "one way" if broken == 1 else f"{broken} ways"
        breaking = "tests/core/test_invariants.py"
        yield f"- the predicate itself is broken on purpose in {ways} by [{breaking}](../../{breaking})"
