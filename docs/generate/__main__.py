"""Rewrites all generated pages, or checks them.

    python -m docs.generate            rewrites those that differ
    python -m docs.generate --check    says which differ; the exit status is 1 where one does

The pages of docs/spec/ need `herdless-verify` with its tools, since they show sessions with TLC.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from docs.generate import costs, spec, states, trace, tutorial
from tests.benchmarks import archive
from tests.contract import matrix

ROOT: Final = Path(__file__).parents[2]

Pages: TypeAlias = Mapping[Path, str]
"""Files, each as it should be."""

Generator: TypeAlias = Callable[[], Pages]


def _runtimes() -> Pages:
    """The scenarios of the contract suite, by runtime."""
    return {ROOT / "docs" / "runtimes.md": matrix.render()}


def _performance() -> Pages:
    """The figures that were kept; nothing is measured."""
    page = archive.PAGE.read_text(encoding="utf-8")
    return {archive.PAGE: archive.with_generated_part(page, archive.generated_part(archive.load()))}


GENERATORS: Final[Sequence[Generator]] = (
    states.pages,
    _runtimes,
    _performance,
    costs.pages,
    tutorial.pages,
    trace.pages,
    spec.pages,
)
"""All there are, the slowest last."""


def drifted(generators: Sequence[Generator] = GENERATORS) -> Iterator[tuple[Path, str]]:
    """The files that are not as they should be, and how they should be."""
    for pages in generators:
        for path, text in pages().items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                yield path, text


def main(arguments: Sequence[str], generators: Sequence[Generator] = GENERATORS) -> int:
    """Rewrite the pages, or check them. The exit status: 1 where one differs, 2 for what is not accepted."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"usage: python -m docs.generate [--check]; {' '.join(arguments)} is not accepted\n")
        return 2
    status = 0
    for path, text in drifted(generators):
        name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        if arguments:
            status = 1
            sys.stdout.write(f"{name} differs from what it is made from\n")
        else:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name} rewritten\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
