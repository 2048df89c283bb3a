"""How the tests are run: the Hypothesis profiles, and the switch that rewrites golden transcripts.

`ci`, the default, tries the same examples at every run. `--hypothesis-profile=deep` searches for minutes. With
HERDLESS_NO_SKIP=1 in the environment, as in `.ci/run`, a test that is skipped has failed, unless it is a scenario of
the contract suite that cannot apply to a runtime.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest
from hypothesis import settings

import herdless

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100, stateful_step_count=50)
settings.register_profile("deep", deadline=None, max_examples=3_000, stateful_step_count=100)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch of the golden transcripts."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the golden transcripts; read the difference")


def is_exempt(item: pytest.Item) -> bool:
    """Whether it is a scenario of the contract suite which the runtime's driver exempts, with the reason."""
    suite = getattr(item, "cls", None)
    if not isinstance(suite, type) or "herdless.testing.contract" not in sys.modules:
        return False
    from herdless.testing.contract import ContractSuite

    return issubclass(suite, ContractSuite) and getattr(item, "originalname", None) in suite.world.exempt


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "pure(why): not for the compiled library, and why")


def pytest_report_header() -> str:
    """Which library is tested."""
    return f"herdless: {'compiled' if herdless.compiled else 'pure Python'}, {herdless.__path__[0]}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what needs the pure library where it is not there."""
    marker = item.get_closest_marker("pure")
    if marker is not None and herdless.compiled:
        pytest.skip(f"needs the pure library: {marker.args[0]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip is a failure where nothing may be skipped, except that a scenario cannot apply to a runtime."""
    report = yield
    may_skip = hasattr(report, "wasxfail") or is_exempt(item)
    if report.skipped and not may_skip and os.environ.get("HERDLESS_NO_SKIP") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"HERDLESS_NO_SKIP=1, and {item.nodeid} was skipped: {reason}"
    return report
