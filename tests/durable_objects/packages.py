"""The runtime that the tests need, from npm and PyPI: which versions, and where they are kept.

They are installed once, into a cache directory outside of the checkout: `$HERDLESS_CACHE`, or else `herdless` in the
platform's own cache directory. The four versions belong together; a change of any of them makes a new directory.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from tests.durable_objects.bundle import BundleError, write_bundle

WORKERD: Final = "1.20261117.1"
PYODIDE: Final = "314.0.6"
WORKERS_SDK: Final = "1.9.5"
COMPATIBILITY_DATE: Final = "2026-10-01"
"""From 2026-09-08 on it selects Pyodide 314.0.6; from 2026-10-01 on pending I/O keeps an object alive."""

_PYTHON: Final = "3.14"
"""What Pyodide 314 is, for pip."""

_WORKERD_PACKAGES: Final = {
    ("Linux", "x86_64"): "workerd-linux-64",
    ("Linux", "aarch64"): "workerd-linux-arm64",
    ("Darwin", "x86_64"): "workerd-darwin-64",
    ("Darwin", "arm64"): "workerd-darwin-arm64",
}


class Unavailable(Exception):
    """The runtime cannot be had here; the message names what is missing."""


@final
class Runtime:
    """The installed packages, by their paths."""

    def __init__(self, root: Path, workerd_package: str) -> None:
        self.root: Final = root
        self.workerd: Final = root / "node_modules" / "@cloudflare" / workerd_package / "bin" / "workerd"
        self.pyodide: Final = root / "node_modules" / "pyodide"
        self.python_modules: Final = root / "python_modules"
        self.bundle_directory: Final = root / "bundle"


def cache_directory() -> Path:
    """Where the packages and the memory snapshots are kept between runs."""
    if "HERDLESS_CACHE" in os.environ:
        return Path(os.environ["HERDLESS_CACHE"])
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches" / "herdless"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "herdless"


def installed() -> Runtime:
    """The runtime, installed if it is not yet there.

    Raises Unavailable where that is not possible, BundleError where the versions above do not go together.
    """
    machine = platform.system(), platform.machine()
    if machine not in _WORKERD_PACKAGES:
        raise Unavailable(f"there is no workerd for {machine[0]} on {machine[1]}")
    versions = f"workerd-{WORKERD}-pyodide-{PYODIDE}-sdk-{WORKERS_SDK}"
    root = cache_directory() / versions
    if not root.exists():
        cache_directory().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_directory(), ignore_cleanup_errors=True) as directory:
            _install(Runtime(Path(directory) / versions, _WORKERD_PACKAGES[machine]), _WORKERD_PACKAGES[machine])
            with suppress(OSError):  # somebody else was quicker
                (Path(directory) / versions).rename(root)
    return Runtime(root, _WORKERD_PACKAGES[machine])


def _install(runtime: Runtime, workerd_package: str) -> None:
    runtime.root.mkdir()
    _install_from_npm(runtime, workerd_package)
    _install_from_pypi(runtime)
    try:
        write_bundle(runtime.pyodide, runtime.bundle_directory)
    except BundleError as error:
        raise BundleError(f"npm pyodide {PYODIDE} does not go with workerd {WORKERD}: {error}") from error


def _install_from_npm(runtime: Runtime, workerd_package: str) -> None:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise Unavailable("node and npm are missing (apt-get install nodejs npm)")
    packages = [f"@cloudflare/{workerd_package}@{WORKERD}", f"pyodide@{PYODIDE}"]
    _run([npm, "install", "--no-save", "--ignore-scripts", "--prefix", str(runtime.root), *packages])
    if not runtime.workerd.exists():
        raise Unavailable(f"npm installed no {runtime.workerd}")


def _install_from_pypi(runtime: Runtime) -> None:
    for_pyodide = ["--only-binary=:all:", "--python-version", _PYTHON, "--implementation", "py", "--abi", "none"]
    where = ["--platform", "any", "--target", str(runtime.python_modules), "--no-compile"]
    _run([sys.executable, "-m", "pip", "install", *for_pyodide, *where, f"workers-runtime-sdk=={WORKERS_SDK}"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"`{' '.join(command)}` failed: {done.stderr.strip()[-500:]}")
