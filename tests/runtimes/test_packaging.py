"""What is installed: herdless without any other distribution, and herdless-verify beside it, with the specification."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from email.message import Message
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]

HERE = Path(__file__).parent

SOURCES = {".py", ".typed"}

FOLDERS = {
    "herdless": (
        ("core/herdless_core", "herdless_core", SOURCES),
        ("adapters/herdless", "herdless", SOURCES),
    ),
    "herdless_verify": (
        ("specs/herdless_verify", "herdless_verify", SOURCES),
        ("specs", "herdless_verify/specification", {".tla", ".toml"}),
    ),
}
"""For each distribution the folders of its sources, where they are installed, and which kinds of files."""

BYTES = 1_230_000
"""The wheel of herdless holds at most so many, unpacked; it held 1,109,818 when all that checks it was inside."""

NEEDS_BUILD = pytest.mark.needs("hatchling", "hatch_fancy_pypi_readme")
"""The build system is asked in this environment, without a network."""

METADATA = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")


def run(*command: str, cwd: Path, python_path: Path | None = None, hooks: bool = False) -> str:
    """Run Python with these arguments; returns what it printed. hooks: ask for the compiled wheel."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=os.environ
        | ({} if python_path is None else {"PYTHONPATH": str(python_path)})
        | {"HATCH_BUILD_HOOKS_ENABLE": str(int(hooks))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(what: str, target: Path, *, hooks: bool = False) -> Path:
    """What the build system makes: `build_editable` or `build_sdist`."""
    build = f"import sys; from hatchling.build import {what} as build; print(build(sys.argv[1]))"
    return target / run("-c", build, str(target), cwd=ROOT, hooks=hooks).split()[-1]


def metadata(wheel: Path) -> Message:
    """The wheel's METADATA."""
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def pinned(distribution: str) -> list[str]:
    """The files of its wheel, as they are written down."""
    return (HERE / f"{distribution}.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("distribution", FOLDERS)
def test_wheel_holds_the_pinned_files_and_nothing_else(
    wheel: Path, verify_wheel: Path, distribution: str, request: pytest.FixtureRequest
) -> None:
    """Nothing gets in, or is left out, unnoticed: `--rewrite` writes the list anew; the difference is to be read."""
    with ZipFile(wheel if distribution == "herdless" else verify_wheel) as archive:
        names = sorted(name.replace(f"-{version('herdless')}.", "-VERSION.") for name in archive.namelist())
    if request.config.getoption("--rewrite"):
        (HERE / f"{distribution}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    assert names == pinned(distribution)


@pytest.mark.parametrize("distribution", FOLDERS)
def test_pinned_files_are_what_is_meant_to_be_installed(distribution: str) -> None:
    """Neither tests nor docs, nor what a build or a checker leaves behind; and every source of the folders."""
    sources = {
        f"{target}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, target, kinds in FOLDERS[distribution]
        for path in ((ROOT / folder).rglob("*.*") if ".py" in kinds else (ROOT / folder).glob("*.*"))
        if path.suffix in kinds and path.name != "pyproject.toml"
    }
    metadata = {f"{distribution}-VERSION.dist-info/{name}" for name in METADATA}
    assert set(pinned(distribution)) == sources | metadata


def test_wheel_has_no_more_bytes_than_it_may(wheel: Path) -> None:
    """Who wants a cache gets a cache: what checks one belongs into the other distribution."""
    with ZipFile(wheel) as archive:
        assert sum(info.file_size for info in archive.infolist()) <= BYTES


def test_both_are_released_in_step(wheel: Path, verify_wheel: Path) -> None:
    """herdless-verify examines this machine and no other, so each asks for the very version of the other."""
    own, other = metadata(wheel), metadata(verify_wheel)
    assert own["Version"] == other["Version"]
    assert f"herdless=={own['Version']}" in (other.get_all("Requires-Dist") or [])
    required = [each.replace(" ", "").replace('"', "'") for each in own.get_all("Requires-Dist") or []]
    assert f"herdless-verify=={own['Version']};extra=='verify'" in required
    assert (ROOT / "specs" / "LICENSE").read_text(encoding="utf-8") == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_wheels_are_for_every_platform(wheel: Path, verify_wheel: Path) -> None:
    """Pure Python: one wheel for all."""
    assert wheel.name.endswith("-py3-none-any.whl")
    assert verify_wheel.name.endswith("-py3-none-any.whl")


def test_nothing_compiled_without_being_asked_for(wheel: Path, installed: Path) -> None:
    """Whoever has no C compiler installs it all the same; and the library says which one it is."""
    with ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".pyd")) or "hatch_build" in name]
    assert (
        run("-S", "-c", "import herdless; print(herdless.compiled)", cwd=installed, python_path=installed) == "False\n"
    )


@NEEDS_BUILD
def test_editable_install_stays_pure(tmp_path: Path) -> None:
    """Even where the compiled wheel is asked for: what is edited must be what runs, and what CrossHair follows."""
    editable = built("build_editable", tmp_path, hooks=True)
    assert editable.name.endswith("-py3-none-any.whl")
    with ZipFile(editable) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]


@NEEDS_BUILD
@pytest.mark.parametrize("hooks", [False, True], ids=["pure", "compiled"])
def test_compiler_is_needed_for_the_compiled_wheel_alone(hooks: bool) -> None:
    """Mypyc is fetched by those who ask for it, and by nobody else."""
    ask = "from hatchling.build import get_requires_for_build_wheel as ask; print(ask())"
    assert ("mypyc" in run("-c", ask, cwd=ROOT, hooks=hooks)) is hooks


@NEEDS_BUILD
def test_compiled_wheel_can_be_built_from_the_source_distribution(tmp_path: Path) -> None:
    """The build hook is in it."""
    with tarfile.open(built("build_sdist", tmp_path)) as archive:
        assert [name for name in archive.getnames() if name.endswith("/core/hatch_build.py")]


def test_no_dependency_at_run_time(wheel: Path) -> None:
    """All that is required is required by an extra."""
    required = metadata(wheel).get_all("Requires-Dist") or []
    assert required
    assert all("extra ==" in requirement for requirement in required)


def test_metadata_says_what_readers_look_for(wheel: Path) -> None:
    """The page of the package index shows the README, the license and the oldest Python."""
    fields = metadata(wheel)
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"] == ">=3.11"
    assert "# herdless" in str(fields.get_payload())


@pytest.mark.parametrize("runtime", ["asyncio", "threads"])
def test_fresh_install_runs_without_other_packages(installed: Path, runtime: str) -> None:
    """With `-S` Python sees no other installed package: what is imported is in the wheel or in Python."""
    script = {
        "asyncio": "import asyncio\nfrom herdless.asyncio import Cache\n"
        "async def load(key): return key\n"
        "print(asyncio.run(Cache(load).get('k')))",
        "threads": "from herdless.threads import Cache\nprint(Cache(str.upper).get('k').lower())",
    }[runtime]
    assert run("-S", "-W", "error", "-c", script, cwd=installed, python_path=installed) == "k\n"


def test_trio_cache_says_what_is_missing(installed: Path) -> None:
    """Without trio, its adapter is not importable, and the error names the package."""
    script = "try:\n    import herdless.trio\nexcept ModuleNotFoundError as error:\n    print(error.name)"
    assert run("-S", "-c", script, cwd=installed, python_path=installed) == "trio\n"


def test_testing_kit_needs_no_other_packages(installed: Path) -> None:
    """The explorers and judges run without pytest, trio and herdless-verify."""
    script = (
        "import herdless.testing as kit\n"
        "print(kit.explore(lambda schedule: kit.run_threads(lambda threads: None, schedule)))"
    )
    assert run("-S", "-W", "error", "-c", script, cwd=installed, python_path=installed) == "1\n"


def test_contract_suite_says_that_it_needs_pytest(installed_with_verify: Path) -> None:
    """It is no dependency, for most of those who install herdless-verify do not write an adapter."""
    script = (
        "try:\n    import herdless_verify.contract\nexcept ModuleNotFoundError as error:\n    print(error.name, error)"
    )
    printed = run("-S", "-W", "error", "-c", script, cwd=installed_with_verify, python_path=installed_with_verify)
    assert printed == "pytest herdless_verify.contract needs pytest: pip install pytest\n"


def test_command_of_a_fresh_install(installed: Path) -> None:
    """`python -m herdless --version` needs no extra, and says the version of the distribution."""
    printed = run("-S", "-m", "herdless", "--version", cwd=installed, python_path=installed)
    assert version("herdless") in printed


def test_what_checks_the_cache_is_asked_for_in_a_line(installed: Path, tmp_path: Path) -> None:
    """Without herdless-verify the command knows of it, and says what to install; nothing else fails."""
    file = tmp_path / "users.trace"
    file.write_text("", encoding="utf-8")
    for asked, *arguments in (
        ["verify", "verify"],
        ["verify", "verify", "--help"],
        ["soak", "soak", "--seconds", "2"],
        ["trace: --tlc", "trace", str(file), "--tlc"],
    ):
        done = subprocess.run(
            [sys.executable, "-S", "-m", "herdless", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = f"herdless {asked}: herdless-verify is not installed: pip install 'herdless[verify]'\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert "verify" in run("-S", "-m", "herdless", "--help", cwd=installed, python_path=installed)


def test_verify_of_a_fresh_install(installed_with_verify: Path, tmp_path: Path) -> None:
    """In an empty folder: the specification travels along, and the exploration needs no other package."""
    arguments = (
        "verify",
        "--policy",
        "ttl=60,max_waiters=2,answers=KeyError",
        "--with",
        "explore",
        "--report",
        "page.html",
    )
    printed = run("-S", "-m", "herdless", *arguments, cwd=tmp_path, python_path=installed_with_verify)
    assert printed.endswith("28 of 30 hold, 2 are not tried.\n")
    assert (tmp_path / "page.html").exists()


def test_explore_of_a_fresh_install(installed_with_verify: Path, tmp_path: Path) -> None:
    """A test of a user's own needs no more than the two distributions."""
    script = (
        "from herdless_core import Policy\nfrom herdless_verify import explore\nprint(explore(Policy(ttl=60)).holds)"
    )
    printed = run("-S", "-W", "error", "-c", script, cwd=tmp_path, python_path=installed_with_verify)
    assert printed == "True\n"
