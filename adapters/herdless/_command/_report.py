"""The report of a run, and its form for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import final

from herdless._command._origin import Source
from herdless._command._plan import MIX_SECONDS, ZIPF_EXPONENT, Plan
from herdless._command._run import PLAIN, Row


@final
@dataclass(frozen=True, slots=True)
class Report:
    """Everything there is to say of a run."""

    source: Source
    seed: int
    plans: Sequence[Plan]
    rows: Sequence[Row]
    left_out: Mapping[str, str]
    """Why, by runtime."""

    def saved(self, row: Row) -> int | None:
        """Origin queries that the plain cache made and this one did not; None for the plain one."""
        if row.cache == PLAIN:
            return None
        same = (row.phase, row.runtime, PLAIN)
        (plain,) = (other for other in self.rows if (other.phase, other.runtime, other.cache) == same)
        return plain.queries - row.queries

    @property
    def violations(self) -> list[str]:
        """Every broken promise; none when all is well."""
        return [what for row in self.rows for what in row.violations]


def as_json(report: Report) -> str:
    """For machines. Durations in seconds."""
    cold, mix = report.plans
    document = {
        "herdless": version("herdless"),
        "python": sys.version.split()[0],
        "origin": {"name": report.source.name, "query_seconds": report.source.query_seconds},
        "parameters": {
            "callers": len(cold.callers),
            "keys": len(report.source.keys),
            "seed": report.seed,
            "zipf_exponent": ZIPF_EXPONENT,
            "mix_seconds": MIX_SECONDS,
            "ttl": {plan.phase: plan.ttl for plan in report.plans},
            "lookups": {plan.phase: plan.lookups for plan in report.plans},
            "watched_key": str(mix.watched),
        },
        "rows": [asdict(row) | {"saved": report.saved(row)} for row in report.rows],
        "left_out": report.left_out,
        "violations": report.violations,
    }
    return json.dumps(document, indent=2) + "\n"
