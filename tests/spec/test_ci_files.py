"""The files in docs/spec/ci/ work as they stand there: what they run is run, as far as that needs no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

FOLDER: Final = Path(__file__).parents[2] / "docs" / "spec" / "ci"
WORKFLOW: Final = FOLDER / "github-actions.yml"
HOOKS: Final = FOLDER / "pre-commit-config.yaml"
BIN: Final = Path(sys.executable).parent


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the programs of this environment first on the path."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def steps() -> list[dict[str, Any]]:
    """The steps of the job that are commands."""
    job = YAML(typ="safe").load(WORKFLOW)["jobs"]["verify"]
    return [{"policy": job["env"]["POLICY"], **step} for step in job["steps"] if "run" in step]


def test_github_accepts_the_workflow(tmp_path: Path) -> None:
    """The schema is that of the public schema store, in the copy that the checker carries."""
    done = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW), cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_job_installs_an_extra_that_exists(tmp_path: Path) -> None:
    """With everything installed already, pip needs no network to say so; an extra that is unknown is a warning."""
    install = steps()[0]["run"]
    done = run("bash", "-euc", f"{install} --no-index --no-deps --dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "does not provide the extra" not in done.stderr


@pytest.mark.usefixtures("tlc")
def test_the_job_verifies_what_is_installed_and_leaves_a_report(installed_with_verify: Path, tmp_path: Path) -> None:
    """From end to end, as on every push: TLC and CrossHair read the specification that is in the wheel."""
    _, every_change, weekly = steps()
    environment = {"POLICY": every_change["policy"], "PYTHONPATH": str(installed_with_verify)}
    where = run("python", "-c", "import herdless; print(herdless.__file__)", cwd=tmp_path, **environment)
    assert where.stdout.startswith(str(installed_with_verify))
    done = run("bash", "-euc", every_change["run"], cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {tuple(line.split()[:2]) for line in done.stdout.splitlines()}
    assert found >= {("NoStaleRead", "explore"), ("NoStaleRead", "TLC"), ("ReadIsGet", "CrossHair")}
    assert "<h1>herdless" in (tmp_path / "verified.html").read_text(encoding="utf-8")
    assert weekly["run"] == every_change["run"].replace(" --quick", "")


def test_the_job_fails_for_a_policy_that_is_none(tmp_path: Path) -> None:
    """A typing error must not pass for a proof."""
    done = run("bash", "-euc", steps()[1]["run"], cwd=tmp_path, POLICY="tll=60")
    assert done.returncode == 2


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with the hook, and a file that it watches."""
    shutil.copy(HOOKS, tmp_path / ".pre-commit-config.yaml")
    (tmp_path / "user_cache.py").write_text("", encoding="utf-8")
    for command in (("git", "init", "-q"), ("git", "add", ".")):
        assert run(*command, cwd=tmp_path).returncode == 0
    return tmp_path


def test_the_hook_passes(project: Path) -> None:
    """It is pre-commit itself that runs it."""
    done = run("pre-commit", "run", cwd=project, PRE_COMMIT_HOME=str(project / ".home"))
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith("Passed")


def test_the_hook_fails_for_a_policy_that_is_none(project: Path) -> None:
    """And the reason is shown to who wanted to commit."""
    config = project / ".pre-commit-config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("ttl=60", "ttl=-60"), encoding="utf-8")
    run("git", "add", ".", cwd=project)
    done = run("pre-commit", "run", cwd=project, PRE_COMMIT_HOME=str(project / ".home"))
    assert done.returncode == 1
    assert "ttl=-60 is not accepted" in done.stdout
