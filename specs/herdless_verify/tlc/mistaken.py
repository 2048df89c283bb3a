"""The specification with a mistake for each of its formulas, all in one run of TLC.

Mistaken.tla, which is made here, extends Watched.tla over a CacheEntry.tla in which `fault` says which mistake is
made, if any. Each fault is the mistake that one formula has to refute; as soon as it has, no more is looked at of
that fault. A formula that was made to say TRUE refutes nothing, and that is what is told.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from herdless_verify.files import FOLDER
from herdless_verify.mistakes import Edit, controls, edited, specification_edits
from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.tla import Operator, operator, operators
from herdless_verify.tlc.toolbox import Output, run_tlc

MODULE: Final = "Mistaken"

LEVELS: Final = 8
"""No mistake is farther away than so many moves: what is not refuted by then is not."""

POLICY: Final = {
    "ttl": 2,
    "early_refresh": 1,
    "stale_while_revalidate": 1,
    "stale_if_error": 2,
    "negative_ttl": 1,
    "answers": True,
    "remember_timeouts": False,
    "load_timeout": 2,
    "refresh_backoff": 1,
    "max_waiters": 1,
}
"""One under which every mistake shows."""

WORLD: Final = {
    "clients": 2,
    "generations": 2,
    "truths": 2,
    "can_cancel": True,
    "may_not_keep": True,
    "may_reload": True,
    "has_soft_timeout": True,
    "oldest": 1,
    "other_ttls": (4,),
}

_HEADER: Final = re.compile(r"(\w+)(\(.*?\))? ==")
_ACTION: Final = re.compile(r"\[\]\[(.*)\]_vars\s*$", re.DOTALL)


@final
@dataclass(frozen=True, slots=True)
class Blindness:
    """What came of the mistakes."""

    blind: tuple[str, ...]
    """The formulas that did not refute theirs."""
    refuted: int
    output: Output

    @property
    def failure(self) -> str:
        """What TLC complained of, where it could not look at all; else empty."""
        errors: list[str] = re.findall(r"^Error: (.*)$", self.output.text, re.MULTILINE)
        return "" if self.output.status == 0 else (errors or [f"TLC ended with status {self.output.status}"])[0]


def look() -> Blindness:
    """Let every formula of the specification refute its mistake."""
    faults = controls("formulas")
    refuted: set[int] = set()

    def listener(line: str) -> bool:
        told = re.match(r'<<"refuted", (\d+)>>', line)
        if told is not None:
            refuted.add(int(told[1]))
        return told is not None

    with tempfile.TemporaryDirectory(prefix="herdless-mistaken-") as private:
        folder = Path(private)
        write(folder, faults)
        output = run_tlc(_run(), folder=folder, listener=listener)
    blind = tuple(formula for number, formula in enumerate(faults, 1) if number not in refuted)
    return Blindness(blind, len(refuted), output)


def _run() -> Run:
    return replace(
        load_runs()["ttl"],
        name="mistaken",
        module=MODULE,
        specification="MistakenSpec",
        view="MistakenAmount",
        action_constraint="Refutes",
        constraint="Shallow",
        policy=POLICY,
        world=WORLD,
        invariants=(),
        properties=(),
    )


def write(folder: Path, faults: Mapping[str, str]) -> None:
    """The specification with its mistakes, into a folder."""
    for module in FOLDER.glob("*.tla"):
        shutil.copy(module, folder)
    entry = folder / "CacheEntry.tla"
    entry.write_text(_with_faults(entry.read_text(encoding="utf-8"), faults), encoding="utf-8")
    (folder / f"{MODULE}.tla").write_text(_judging(faults), encoding="utf-8")


def _with_faults(source: str, faults: Mapping[str, str]) -> str:
    """CacheEntry.tla, in which `fault` says which of the mistakes is made."""
    edits = specification_edits()
    variants: dict[str, dict[int, Edit]] = {}
    for number, name in enumerate(faults.values(), 1):
        edit = edits[name]
        places = [each.name for each in operators("CacheEntry").values() if edit.find in each.text]
        if len(places) != 1:
            raise ValueError(f"{name}: {edit.find!r} is in {len(places)} operators, not in one")
        variants.setdefault(places[0], {})[number] = edit
    for place, mistakes in variants.items():
        text = operators("CacheEntry")[place].text
        source = edited(source, text, _dispatching(text, mistakes), place)
    return edited(source, "\nVARIABLES\n", "\nVARIABLES\n  fault,\n", "fault")


def _dispatching(text: str, mistakes: Mapping[int, Edit]) -> str:
    """The operator, each of its mistaken forms, and the choice between them."""
    name, arguments, _ = _header(text)
    forms = [_renamed(text, f"{name}_0")]
    choice = ""
    for number, edit in mistakes.items():
        forms.append(_renamed(edited(text, edit.find, edit.replace, edit.name), f"{name}_{number}"))
        choice += f"fault = {number} -> {name}_{number}{arguments} [] "
    return "\n\n".join([*forms, f"{name}{arguments} == CASE {choice}OTHER -> {name}_0{arguments}"])


def _header(text: str) -> tuple[str, str, int]:
    """The name of an operator, its parameters in parentheses, and where its body begins."""
    header = _HEADER.match(text)
    if header is None:
        raise ValueError(f"not an operator: {text!r}")
    return header[1], header[2] or "", header.end()


def _renamed(text: str, name: str) -> str:
    """The operator under another name, every part of it in the column in which it was: TLA+ reads those."""
    _, arguments, end = _header(text)
    return f"{name}{arguments} ==\n{' ' * end}{text[end:]}"


def _judging(faults: Mapping[str, str]) -> str:
    """The module that asks each formula about its own fault."""
    asked = [_broken(operator(formula, "CacheEntryInv")) for formula in faults]
    bodies = "\n\n".join(f"Breaks_{number} ==\n{text}" for number, text in enumerate(asked, 1))
    cases = " [] ".join(f"fault = {number} -> Breaks_{number}" for number in range(1, len(asked) + 1))
    return (
        f"---- MODULE {MODULE} ----\nEXTENDS Watched\n\n{bodies}\n\nBreaks == CASE {cases}\n\n"
        f"MistakenSpec == (Init /\\ move = <<>> /\\ fault \\in 1 .. {len(asked)} /\\ TLCSet(fault, FALSE))"
        " /\\ [][WatchedStep /\\ UNCHANGED fault]_<<watchedVars, fault>>\n\n"
        "MistakenAmount == <<Amount, fault>>\n\n"
        'Refutes == TLCGet(fault) \\/ ~Breaks \\/ (PrintT(<<"refuted", fault>>) /\\ TLCSet(fault, TRUE))\n\n'
        f'Shallow == TLCGet("level") <= {LEVELS} /\\ ~TLCGet(fault)\n====\n'
    )


def _broken(formula: Operator) -> str:
    """That a step, or the state it leads to, breaks the formula. Raises ValueError for one of another form."""
    text = formula.text
    if formula.name.endswith("Inv"):
        begin, body, prime = _header(text)[2], text[_header(text)[2] :], "'"
    else:
        found = _ACTION.search(text)
        if found is None:
            raise ValueError(f"{formula.name} is not of the form [][ ... ]_vars")
        begin, body, prime = found.start(1), found[1], ""
    # Blanks in place of what stood before, so that every part stays in its column.
    column = len(text[:begin].rpartition("\n")[2])
    return f"  ~((\n{' ' * column}{body}\n  ){prime})"
