"""What `herdless verify` found, as one page that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from importlib.metadata import version
from typing import Final

from herdless_core.invariants import INVARIANTS
from herdless_verify import diagram
from herdless_verify.checkers.findings import Finding
from herdless_verify.command.verified import HEADERS, NUMBERS, Row, Verification, examined
from herdless_verify.exploration.search import ACROSS_STEPS
from herdless_verify.tlc import tla

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; vertical-align: top;
  overflow-wrap: anywhere }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.broken { background: #ffebe9 } svg { max-width: 100% }
pre { font-size: 12.5px; background: #f6f8fa; padding: 1rem; overflow-x: auto }
"""


def as_html(verification: Verification) -> str:
    """The state graph, the promises, the verdicts, every run and every counterexample."""
    title = f"herdless {version('herdless')}: {'broken' if verification.broken else 'verified'}"
    missing = "".join(
        f"<p><strong>{escape(line)}</strong></p>" for line in (*verification.missing, *verification.shortfalls)
    )
    said = "".join(f"<p>{escape(line)}</p>" for line in (*verification.limits, verification.looked_at))
    promises = "".join(f"<tr><td>{name}</td><td>{_words(said)}</td></tr>" for name, said in promised().items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
        f"<p>Policies: {escape('; '.join(verification.policies))}.</p><p>{verification.summary}</p>{missing}{said}"
        f"{''.join(_counterexample(row.broken) for row in verification.broken if row.broken is not None)}"
        f"<h2>The states of an entry</h2>{diagram.svg()}"
        f"<h2>What is promised</h2><table>{promises}</table>"
        f"<h2>What was checked</h2>{_table(HEADERS, verification.rows)}"
        f"<h2>The runs</h2>{_runs(verification.findings)}</html>\n"
    )


def promised() -> dict[str, str]:
    """What is said of every promise: in the docstring of its predicate, or above its formula."""
    said = {name: " ".join((holds.__doc__ or "").split()) for name, holds in INVARIANTS.items()}
    live = {each.promise: each.said for each in tla.operators("CacheEntryInv").values() if each.promise in tla.LIVENESS}
    said |= {name: _sentence(text) for name, text in live.items()}
    return said | ACROSS_STEPS


def _sentence(comment: str) -> str:
    """What a comment says after the promise's name."""
    text = comment.partition(": ")[2]
    return f"{text[0].upper()}{text[1:]}"


def _words(text: str) -> str:
    """With what stands between backquotes as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def _table(headers: tuple[str, ...], rows: Iterable[Row]) -> str:
    shown = "".join(
        f"<tr{' class=broken' if row.broken is not None else ''}>{_cells(row.cells, 'td')}</tr>" for row in rows
    )
    return f"<table><tr>{_cells(headers, 'th')}</tr>{shown}</table>"


def _cells(cells: tuple[str, ...], tag: str) -> str:
    return "".join(
        f"<{tag}{' class=number' if column in NUMBERS else ''}>{escape(cell)}</{tag}>"
        for column, cell in enumerate(cells)
    )


def _runs(findings: Iterable[Finding]) -> str:
    """Each run once, whatever it judged."""
    runs: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        runs.setdefault((finding.run, finding.checker), []).append(finding)
    rows = [_run(run, checker, group) for (run, checker), group in runs.items()]
    return _table(("run", *HEADERS[1:]), rows)


def _run(run: str, checker: str, group: list[Finding]) -> Row:
    """One run, with what it judged."""
    tried = [finding.tried for finding in group if finding.tried is not None]
    return Row(
        run,
        checker,
        examined(group[0].count, group[0].unit),
        sum(tried) if tried else None,
        group[0].seconds,
        f"all {len(group)} hold" if len(group) > 1 else group[0].verdict,
        next((finding for finding in group if finding.blame), None),
    )


def _counterexample(finding: Finding) -> str:
    steps = escape("\n".join(finding.counterexample))
    return f"<h3>{escape(finding.promise)}, by {finding.checker}: {escape(finding.blame)}</h3><pre>{steps}</pre>"
