"""The project uses the files that it ships for others, and its own CI runs what CONTRIBUTING says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.pythons.found import classified

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SHIPPED: Final = ROOT / "docs" / "spec" / "ci"
CI: Final = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
INSTALL: Final = "pip install -e '.[cli]' -e ./specs"
"""What stands in the project's own workflow for the shipped one's installation."""


def load(path: Path) -> Any:
    """A file of YAML."""
    return YAML(typ="safe").load(path)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the programs of this environment first on the path."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def hooks(path: Path) -> dict[str, dict[str, Any]]:
    """The hooks of a configuration of pre-commit, by their names."""
    return {hook["id"]: hook for repository in load(path)["repos"] for hook in repository["hooks"]}


@pytest.mark.needs("check_jsonschema")
@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_github_accepts_the_workflow(workflow: Path) -> None:
    """By the schema that the checker carries."""
    done = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow))
    assert done.returncode == 0, done.stdout


def test_workflow_runs_the_script_with_every_python_of_the_classifiers() -> None:
    """The matrix finds them on PATH; `python3`, the last one, is the oldest, as on the developers' machines."""
    steps = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["ci"]["steps"]
    assert steps[-1]["run"] == "bash .ci/run"
    (versions,) = [step["with"]["python-version"].split() for step in steps if "setup-python" in step.get("uses", "")]
    by_age = sorted(classified(), key=lambda name: int(name.partition(".")[2]))
    assert versions == by_age[::-1]


def test_own_workflow_is_the_one_for_others() -> None:
    """But for what is installed: so the one for others is used every day."""
    own, shipped = load(ROOT / ".github" / "workflows" / "caches.yml"), load(SHIPPED / "github-actions.yml")
    (install,) = [step for step in shipped["jobs"]["verify"]["steps"] if step.get("run", "").startswith("pip install")]
    install["run"] = INSTALL
    assert own == shipped


@pytest.mark.needs("pre_commit")
def test_pre_commit_accepts_the_hooks() -> None:
    """It is pre-commit itself that looks."""
    assert run("pre-commit", "validate-config", ".pre-commit-config.yaml").returncode == 0


def test_own_hook_is_the_one_for_others() -> None:
    """But for the files that it watches."""
    own, shipped = hooks(ROOT / ".pre-commit-config.yaml"), hooks(SHIPPED / "pre-commit-config.yaml")
    for name, hook in shipped.items():
        assert {**hook, "files": None} == {**own[name], "files": None}


@pytest.mark.needs("pre_commit", "mypy")
def test_hooks_find_their_programs(tmp_path: Path) -> None:
    """Each is run by pre-commit, on one file that is right; and a file that is wrong is refused."""
    if not (ROOT / ".git").exists():
        pytest.skip("pre-commit needs a repository")
    home = {"PRE_COMMIT_HOME": str(tmp_path), "SKIP": "mypy,herdless-verify"}
    done = run("pre-commit", "run", "--files", "tests/project/test_ci.py", **home)
    assert (done.returncode, done.stdout.count("Passed")) == (0, 2), done.stdout


def test_what_the_hooks_check_is_checked_in_ci() -> None:
    """A commit that was made without them must not land."""
    own = hooks(ROOT / ".pre-commit-config.yaml")
    for name, command in {"ruff-format": "ruff format", "ruff-check": "ruff check", "mypy": "mypy"}.items():
        assert own[name]["entry"].startswith(command)
        assert f"step .venv/bin/{command}" in CI


def test_script_of_ci_runs_the_readme_and_the_matrix() -> None:
    """What CONTRIBUTING says of it."""
    assert "```sh ci" in CI
    for module in ("tests.pythons", "tests.compiled", "tests.benchmarks.guard", "tests.runtimes.coverage_gaps"):
        assert f"step .venv/bin/python -m {module}" in CI
