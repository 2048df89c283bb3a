"""What workerd is given: a directory with the sources, a configuration, and a memory snapshot of the loaded Python.

A snapshot that is older than its sources would silently run the older code, so the directory's name is a digest of
everything that is in it, and an older one is never looked at.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from tests.durable_objects.packages import COMPATIBILITY_DATE, Runtime, Unavailable, cache_directory

PROJECT: Final = Path(__file__).parents[2]
APP: Final = Path(__file__).parent / "app"

SOCKETS: Final = ("javascript", "python", "edge", "edge-closed", "edge-python", "reference")

_PACKAGES: Final = (PROJECT / "core" / "herdless_core", PROJECT / "adapters" / "herdless")
_EXAMPLE: Final = PROJECT / "docs" / "examples" / "edge"
_OBJECT_CLASS: Final = re.compile(r"^class ([A-Z]\w*)\((?:CacheObject|DurableObject|Tested|Brief)\):", re.MULTILINE)
_MODULE_KINDS: Final = {".py": "pythonModule", ".js": "esModule"}
_KEPT_SECONDS: Final = 3_600


@final
class Build:
    """A directory that workerd can serve."""

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory
        self.config: Final = directory / "config.capnp"
        self.snapshot: Final = directory / "snapshot.bin"


def build(runtime: Runtime, edit: Callable[[str], str] = str) -> Build:
    """The build of the sources as they are now, made if there is none yet. `edit` changes the objects' source."""
    files = _files(runtime)
    files["main.py"] = edit(files["main.py"].decode()).encode()
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    builds = cache_directory() / "builds"
    result = Build(builds / digest.hexdigest()[:16])
    if result.directory.exists():
        result.directory.touch()
        return result
    builds.mkdir(parents=True, exist_ok=True)
    _remove_old(builds)
    making = Build(Path(tempfile.mkdtemp(dir=builds, prefix="making-")))
    for name, content in files.items():
        path = making.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    making.config.write_text(_config(files))
    _save_snapshot(runtime, making)
    try:
        making.directory.rename(result.directory)
    except OSError:  # somebody else has just made the same one
        shutil.rmtree(making.directory)
    return result


def _files(runtime: Runtime) -> dict[str, bytes]:
    """Every file, by its name in the Worker."""
    sources = [(package, package.name) for package in _PACKAGES]
    sources += [(runtime.python_modules, "python_modules"), (APP, "")]
    files = {
        "edge_objects.py": (_EXAMPLE / "objects" / "main.py").read_bytes(),
        "edge.js": (_EXAMPLE / "front" / "front.js").read_bytes(),
    }
    for directory, prefix in sources:
        for path in sorted(directory.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and ".dist-info" not in str(path):
                files[str(Path(prefix) / path.relative_to(directory))] = path.read_bytes()
    return files


def _config(files: dict[str, bytes]) -> str:
    sources = [content.decode() for name, content in files.items() if name.endswith(".py") and "/" not in name]
    classes = _OBJECT_CLASS.findall("".join(sources))
    modules = [
        f'(name = "{name}", {_MODULE_KINDS.get(Path(name).suffix, "data")} = embed "{name}"),'
        for name in sorted(files, key=lambda name: (name != "main.py", name))
        if name == "main.py" or "/" in name or name.endswith(".py")
    ]
    namespaces = [f'(className = "{name}", uniqueKey = "{name}", enableSql = true),' for name in classes]
    bindings = [
        f'(name = "{name}", durableObjectNamespace = (className = "{name}", serviceName = "objects")),'
        for name in classes
    ]
    text = files["config.capnp"].decode().replace("@DATE", COMPATIBILITY_DATE)
    for mark, lines in (("@MODULES", modules), ("@NAMESPACES", namespaces), ("@BINDINGS", bindings)):
        text = text.replace(mark, "\n".join(f"    {line}" for line in lines))
    return text


def _save_snapshot(runtime: Runtime, making: Build) -> None:
    options = [f"--pyodide-bundle-disk-cache-dir={runtime.bundle_directory}", "--python-save-snapshot"]
    options += [f"--python-snapshot-dir={making.directory}", f"--directory-path=disk={making.directory}"]
    command = [str(runtime.workerd), "test", str(making.config), "--experimental", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not making.snapshot.exists():  # the exit code speaks of the tests, of which there are none
        raise Unavailable(f"workerd saved no snapshot: {(done.stdout + done.stderr).strip()[-2000:]}")


def _remove_old(builds: Path) -> None:
    for directory in builds.iterdir():
        if directory.stat().st_mtime < time.time() - _KEPT_SECONDS:
            shutil.rmtree(directory, ignore_errors=True)
