"""The runs of the model checker, as `configurations.toml` and `fleet.toml` list them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, final

from herdless_core import Policy
from herdless_verify.exploration.ticks import policy_of_ticks
from herdless_verify.exploration.world import Bounds
from herdless_verify.files import FOLDER

NEVER_IN_TLA: Final = 99
"""`Never` of CacheEntry.tla."""

DOCUMENTS: Final = ("configurations.toml", "fleet.toml")
"""Where they are listed. The first one says what holds where another says nothing of the policy or the world."""

CANCELLATIONS: Final[Mapping[bool | None, str]] = {True: "{TRUE}", False: "{FALSE}", None: "{TRUE, FALSE}"}
"""`CanCancel` of CacheEntry.tla."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of TLC, or, where each check must be refuted, one for each of them."""

    name: str
    why: str
    module: str = "MCCacheEntry"
    specification: str = "Spec"
    expect: Literal["holds", "refuted"] = "holds"
    policy: Mapping[str, Any] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Any] | None = None
    """For modules other than that of the entry: the constants themselves."""
    fleet: Mapping[str, Any] = field(default_factory=dict)
    """For Fleet.tla: its constants beside those of the policy and the world."""
    invariants: Sequence[str] = ()
    properties: Sequence[str] = ()
    view: str | None = None
    action_constraint: str | None = None
    constraint: str | None = None
    graph: bool = False
    slow: bool = False
    covers_all_actions: bool = False
    distinct: int | None = None
    depth: int | None = None

    def cfg(self) -> str:
        """The configuration as TLC reads it."""
        constants = self.constants
        if constants is None:
            constants = _constants(self.policy, self.world) | _in_camel_case(self.fleet)
        lines = [f"SPECIFICATION {self.specification}", "CONSTANTS"]
        lines += [f"  {name} = {_tla(value)}" for name, value in constants.items()]
        if self.view is not None:
            lines.append(f"VIEW {self.view}")
        if self.action_constraint is not None:
            lines.append(f"ACTION_CONSTRAINT {self.action_constraint}")
        if self.constraint is not None:
            lines.append(f"CONSTRAINT {self.constraint}")
        lines += [f"INVARIANT {name}" for name in self.invariants]
        lines += [f"PROPERTY {name}" for name in self.properties]
        return "\n".join(lines) + "\n"

    def singly(self) -> list[Run]:
        """A run for each invariant and property by itself."""
        each = [(name, (name,), ()) for name in self.invariants] + [(name, (), (name,)) for name in self.properties]
        return [
            replace(self, name=f"{self.name}.{name}", invariants=invariants, properties=properties)
            for name, invariants, properties in each
        ]

    def machine_policy(self) -> Policy:
        """The policy of this run, for the code."""
        ticks: dict[str, Any] = {name: None if value == "never" else value for name, value in self.policy.items()}
        if ticks["early_refresh"] == "ttl":
            ticks["early_refresh"] = None
        return policy_of_ticks(**ticks)

    def bounds(self) -> Bounds:
        """The world of this run, for the code."""
        return Bounds(**{**self.world, "other_ttls": tuple(self.world["other_ttls"])})


def load_runs() -> dict[str, Run]:
    """Every run, by name."""
    documents = [tomllib.loads((FOLDER / name).read_text(encoding="utf-8")) for name in DOCUMENTS]
    defaults = {part: documents[0][part] for part in ("policy", "world")}
    runs = []
    for document in documents:
        merged = document | {part: default | document[part] for part, default in defaults.items()}
        runs += [_run(merged, entry) for entry in document["run"]]
    return {run.name: run for run in runs}


def _run(document: dict[str, Any], entry: dict[str, Any]) -> Run:
    merged = document["promises"] | entry
    merged["policy"] = document["policy"] | entry.get("policy", {})
    merged["world"] = document["world"] | entry.get("world", {})
    merged["fleet"] = document.get("fleet", {}) | entry.get("fleet", {})
    return Run(**merged)


def _constants(policy: Mapping[str, Any], world: Mapping[str, Any]) -> dict[str, Any]:
    early = policy["ttl"] if policy["early_refresh"] == "ttl" else policy["early_refresh"]
    return {
        "NumberOfClients": world["clients"],
        "MaxGeneration": world["generations"],
        "MaxTruth": world["truths"],
        "CanCancel": CANCELLATIONS[world["can_cancel"]],
        "MayNotKeep": world["may_not_keep"],
        "MayReload": world["may_reload"],
        "HasSoftTimeout": world["has_soft_timeout"],
        "Ages": f"{{{', '.join(map(str, range(world['oldest'] + 1)))}}}",
        "Ttls": f"{{{', '.join(map(_tla, (policy['ttl'], *world['other_ttls'])))}}}",
        **_in_camel_case(policy),
        "EarlyRefresh": early,
    }


def _in_camel_case(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"".join(word.capitalize() for word in name.split("_")): value for name, value in values.items()}


def _tla(value: object) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, list):
        return f"{{{', '.join(map(_tla, value))}}}"
    return str(NEVER_IN_TLA if value == "never" else value)
