"""How the tests are run: the Hypothesis profiles, the switch that rewrites golden transcripts, and what is installed.

`ci`, the default, tries the same examples at every run. `--hypothesis-profile=deep` searches for minutes. With
HERDLESS_NO_SKIP=1 in the environment, as in `.ci/run`, a test that is skipped has failed, unless it is a scenario of
the contract suite that cannot apply to a runtime. What is left out where a package is missing: `tests/needs.py`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import settings

import herdless
from tests.needs import Part, is_left_out, reason_of, strictness, summary, why_left_out

ROOT = Path(__file__).parents[1]

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100, stateful_step_count=50)
settings.register_profile("deep", deadline=None, max_examples=3_000, stateful_step_count=100)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch of the golden transcripts."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the golden transcripts; read the difference")


def is_exempt(item: pytest.Item) -> bool:
    """Whether it is a scenario of the contract suite which the runtime's driver exempts, with the reason."""
    suite = getattr(item, "cls", None)
    if not isinstance(suite, type) or "herdless_verify.contract" not in sys.modules:
        return False
    from herdless_verify.contract import ContractSuite

    return issubclass(suite, ContractSuite) and getattr(item, "originalname", None) in suite.world.exempt


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, and interrupts heard."""
    config.addinivalue_line("markers", "pure(why): not for the compiled library, and why")
    config.addinivalue_line("markers", "needs(*modules): what has to be installed, beyond the extra `dev`")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Inherited, as under nohup or in the background of a script; so would every process that a test starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Which library is tested."""
    return f"herdless: {'compiled' if herdless.compiled else 'pure Python'}, {herdless.__path__[0]}"


def why_not_compiled(item: pytest.Item) -> str | None:
    """Why the test needs the pure library, where the compiled one is tested; None where it can run."""
    marker = item.get_closest_marker("pure") if herdless.compiled else None
    return None if marker is None else str(marker.args[0])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what needs the pure library, or a package, where it is not there."""
    why = why_not_compiled(item)
    if why is not None:
        pytest.skip(f"needs the pure library: {why}")
    leave_out(*chain.from_iterable(marker.args for marker in item.iter_markers("needs")))


def leave_out(*modules: str) -> None:
    """Skip the test where one of these is not installed."""
    why = why_left_out(modules)
    if why is not None:
        pytest.skip(why)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Part:
    """A file of tests knows what it may be left out for."""
    part: Part = Part.from_parent(parent, path=module_path)
    return part


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and for want of what."""
    lines = list(summary(terminalreporter.getreports("skipped")))
    if lines:
        terminalreporter.section("left out")
        for line in lines:
            terminalreporter.line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip is a failure where nothing may be skipped, except that a scenario cannot apply to a runtime, or a test to
    the compiled library.
    """
    report = yield
    may_skip = hasattr(report, "wasxfail") or is_exempt(item) or why_not_compiled(item) is not None
    if not may_skip:
        refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a file that is skipped as a whole."""
    report = yield
    refuse_skip(report)
    return report


def refuse_skip(report: pytest.CollectReport | pytest.TestReport) -> None:
    """Make a skip a failure where it is not allowed."""
    if report.skipped and strictness() and not is_left_out(reason_of(report)):
        reason = reason_of(report)
        report.outcome = "failed"
        report.longrepr = f"HERDLESS_NO_SKIP={strictness()}, and {report.nodeid} was skipped: {reason}"


@pytest.fixture(scope="session")
def tlc() -> None:
    """TLC is there. Skips where a tool is missing, which is named; with HERDLESS_NO_SKIP=1 that is a failure."""
    from herdless_verify.tlc.toolbox import ToolMissing, find_jar, find_java

    try:
        find_java()
        find_jar()
    except ToolMissing as missing:
        if strictness() == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def build_wheel(project: Path, target: Path) -> Path:
    """The wheel of the folder, built by the build system that its pyproject.toml names, without a network."""
    leave_out("hatchling", "hatch_fancy_pypi_readme")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(target)]
    built = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    return target / built.stdout.split()[-1]


def install(target: Path, *wheels: Path) -> Path:
    """Install these wheels, and nothing else, into a directory."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), *map(str, wheels)], cwd=target, check=True)
    return target


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of herdless."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def verify_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of herdless-verify."""
    return build_wheel(ROOT / "specs", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which herdless, and nothing else, is installed."""
    return install(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="session")
def installed_with_verify(wheel: Path, verify_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which herdless and herdless-verify, and nothing else, are installed."""
    return install(tmp_path_factory.mktemp("installed"), wheel, verify_wheel)
