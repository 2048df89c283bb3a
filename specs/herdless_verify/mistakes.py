"""The mistakes of `mutants.toml`, each a single edit of the machine, and most of them of the specification too."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast, final

from herdless_core import _machine
from herdless_verify.exploration.world import Machine
from herdless_verify.files import FOLDER

SOURCE: Final = Path(_machine.__file__).parent / "_machine.py"
"""Of the machine, whether it is compiled or not."""


def edited_machine(find: str, replace: str, name: str) -> Machine:
    """The machine with one edit. Raises ValueError where the edit does not match once."""
    source = SOURCE.read_text(encoding="utf-8")
    module = ModuleType("herdless_core._machine_with_a_mistake")
    sys.modules[module.__name__] = module  # where dataclasses look for the names in annotations
    code = compile(edited(source, find, replace, name), str(SOURCE), "exec")
    exec(code, module.__dict__)  # noqa: S102 - our own source, with one edit of our own
    return cast("Machine", module)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One that breaks no promise."""

    name: str
    find: str
    replace: str

    def machine(self) -> Machine:
        """The machine with the edit."""
        return edited_machine(self.find, self.replace, self.name)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One mistake, in the code and in the specification."""

    name: str
    find: str
    replace: str
    spec_find: str
    spec_replace: str
    spec_run: str

    @property
    def digest(self) -> str:
        """Differs when an edit differs."""
        edits = (self.find, self.replace, self.spec_find, self.spec_replace, self.spec_run)
        return hashlib.sha256("\0".join(edits).encode()).hexdigest()[:12]

    def machine(self) -> Machine:
        """The machine with the mistake."""
        return edited_machine(self.find, self.replace, self.name)

    def specification(self, folder: Path) -> None:
        """A copy of the specification, with the mistake."""
        for module in FOLDER.glob("*.tla"):
            shutil.copy(module, folder)
        entry = folder / "CacheEntry.tla"
        source = entry.read_text(encoding="utf-8")
        entry.write_text(edited(source, self.spec_find, self.spec_replace, self.name), encoding="utf-8")


def edited(source: str, find: str, replace: str, name: str) -> str:
    """The text with one edit. Raises ValueError where it does not match once."""
    if source.count(find) != 1:
        raise ValueError(f"{name}: {find!r} is there {source.count(find)} times, not once")
    return source.replace(find, replace)


def load_mutants() -> list[Mutant]:
    """Every mistake that breaks a promise."""
    return [Mutant(**entry) for entry in _document()["mutant"]]


def load_edits() -> list[Edit]:
    """Every edit that breaks none."""
    return [Edit(**entry) for entry in _document()["edit"]]


def machine_edits() -> dict[str, Edit]:
    """Every edit of the machine that breaks a promise, by name."""
    entries = [entry for entry in (*_document()["mutant"], *_document()["slip"]) if "find" in entry]
    return {entry["name"]: Edit(name=entry["name"], find=entry["find"], replace=entry["replace"]) for entry in entries}


def specification_edits() -> dict[str, Edit]:
    """Every edit of the specification, by name."""
    entries = [entry for entry in (*_document()["mutant"], *_document()["slip"]) if "spec_find" in entry]
    return {
        entry["name"]: Edit(name=entry["name"], find=entry["spec_find"], replace=entry["spec_replace"])
        for entry in entries
    }


def controls(kind: str) -> dict[str, str]:
    """For each predicate or formula the name of the edit that it has to refute.

    kind: "predicates", "over_steps" or "formulas"; or "worlds": for each edit the configuration in which it shows.
    """
    found: dict[str, str] = _document()["controls"][kind]
    return found


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "mutants.toml").read_text(encoding="utf-8"))
