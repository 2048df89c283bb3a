"""Exceptions and calls at every point of a piece of code, one point after the other.

What comes in between anywhere: an exception that a signal handler raises (Ctrl-C, a soft time limit), or a call that a
signal handler, a finalizer or a weak reference's callback makes. A scene is run again and again, and each time it is
disturbed at the next point, until a run has no more points. Points are

- before every instruction of Python code in the given files that does not suspend a coroutine, and after every call of
  a C function that it makes, which is where the interpreter looks for signals; an exception can come at a few more of
  these than a real signal could;
- before and after every call of what the scene wrapped by `Injection.wrap`: the loader, the clock. A compiled library
  has no other points.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar, final

import herdless
import herdless_core
from herdless._testing._points import Driver, make_driver, place_of, watching
from herdless._testing._schedule import NotDeterministic

P = ParamSpec("P")
T = TypeVar("T")

STUCK_SECONDS: Final = 10.0
"""A run that has not ended after so long hangs. One that does not hang takes milliseconds."""

COLLECT_EVERY: Final = 100
"""Between two runs, at each so manieth point, garbage is collected, so that it does not add up."""

MAX_HANGS: Final = 3
"""After so many no more points are tried."""


def _library() -> Generator[str, None, None]:
    """The files of which a cache is made, and not those that test, show or check one."""
    yield str(Path(str(herdless_core.__file__)).parent)
    package = Path(str(herdless.__file__)).parent
    yield str(package / "_durable")
    yield from (str(path) for path in package.glob("*.py") if path.stem not in {"__main__", "trace"})


LIBRARY: Final = tuple(sorted(_library()))
"""The files and folders whose instructions are points where no others are given."""


class InjectionFailed(AssertionError):
    """Runs failed that were disturbed. The message shows where, and how each ended; the cause is the first's error."""


@final
@dataclass(frozen=True, slots=True)
class Point:
    """Where a run was disturbed: the how-manieth point it is, and the place in the code."""

    number: int
    place: str

    def __str__(self) -> str:
        """As in `point 17, before LOAD_FAST at threads.py:130 in Cache._answer`."""
        return f"point {self.number}, {self.place}"


@final
class Injection:
    """What disturbs one run, at one point. The scene says by `with injection:` what is to be disturbed: what that block
    calls, in the thread that runs it. The error gets no further than the block.
    """

    def __init__(self, number: int | None, act: Callable[[Any], object], files: Iterable[str]) -> None:
        """number: at which point it strikes, counted from 1, None for none; act: what is called there, with the
        subject; files: of which it counts the points.
        """
        self.point: Point | None = None
        """Where it struck; None as long as it did not."""
        self.error: BaseException | None = None
        """What was raised there."""
        self.count = 0
        """How many points there were."""
        self._number: Final = number
        self._act: Final = act
        self._files: Final = tuple(files)
        self._is_wanted: Final[dict[str, bool]] = {}
        self._subject: Any = None
        self._is_stopped = False
        self._inside: Final[dict[int, Driver]] = {}
        """What tells of the points of each thread inside of a block."""

    # For the scene

    def using(self, subject: object) -> Injection:
        """The same; the handler of `call_everywhere` is called with the subject, usually the cache."""
        self._subject = subject
        return self

    def stop(self) -> None:
        """From here on nothing is a point, also in threads that are inside of the block still."""
        self._is_stopped = True

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, whose calls are points: before it, and after it has returned."""
        name = getattr(function, "__qualname__", repr(type(function)))

        @functools.wraps(function, updated=())
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            self.pass_point(f"before a call of {name}")
            returned = function(*args, **kwargs)
            self.pass_point(f"after a call of {name}")
            return returned

        return wrapped

    def pass_point(self, place: str) -> None:
        """A point of the scene's own, as in the `__hash__` of a key."""
        if threading.get_ident() in self._inside and self._is_next():
            self._strike(place)

    def __enter__(self) -> Injection:
        self._inside[threading.get_ident()] = driver = make_driver(self._wants, self._pass)
        if self._files and self.point is None:
            driver.begin(sys._getframe(1))
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        self._inside.pop(threading.get_ident()).end()
        return error is not None and type(error) is type(self.error)

    # For the interpreter

    def _pass(self, code: CodeType, offset: int, function: object) -> None:
        if self._is_next():
            self._strike(place_of(code, offset, function))

    def _wants(self, code: CodeType) -> bool:
        if self.point is not None:
            return False
        name = code.co_filename
        if name not in self._is_wanted:
            path = Path(name)
            self._is_wanted[name] = any(Path(each) in (path, *path.parents) for each in self._files)
        return self._is_wanted[name]

    def _is_next(self) -> bool:
        if self.point is not None or self._is_stopped:
            return False
        self.count += 1
        return self.count == self._number

    def _strike(self, place: str) -> None:
        self._inside[threading.get_ident()].stop()
        self.point = Point(self.count, place)
        try:
            self._act(self._subject)
        except BaseException as error:
            self.error = error
            raise


Scene: TypeAlias = Callable[[Injection], object]
"""Makes a fresh cache, does `with injection:` what is to be disturbed, and then asserts that all is well."""


def interrupt_everywhere(
    scene: Scene,
    *,
    error: Callable[[], BaseException] = KeyboardInterrupt,
    files: Iterable[str] = LIBRARY,
    every: int = 1,
    first: int = 1,
) -> int:
    """Run `scene(injection)` once for every point inside of its `with injection:`, and raise an exception there.

    error: the class, or what makes the exception. files: as in `module.__file__`, and folders; `()`: only what the
    scene wraps. every, first: only each so manieth point, from this one on. Each run has a thread of its own; one that
    hangs is left behind.

    Returns how many points were tried. Raises InjectionFailed, NotDeterministic where a run is not the same each time,
    and what the scene raises when nothing disturbs it.
    """

    def act(_subject: object) -> None:
        raise error()

    return _everywhere(scene, act, tuple(files), range(first, sys.maxsize, every))


def call_everywhere(
    scene: Scene,
    handler: Callable[[Any], object],
    *,
    files: Iterable[str] = LIBRARY,
    every: int = 1,
    first: int = 1,
) -> int:
    """The same, but at the point `handler(subject)` is called, as by a signal handler or a finalizer that runs there.

    The subject is what the scene said by `with injection.using(subject):`. What the handler raises fails the run, and
    does not disturb it.
    """
    errors: list[BaseException] = []

    def act(subject: object) -> None:
        try:
            handler(subject)
        except BaseException as error:  # noqa: BLE001  # raised below, when the scene is over
            errors.append(error)

    def scene_and_handler(injection: Injection) -> None:
        errors.clear()
        scene(injection)
        if errors:
            raise errors[0]

    return _everywhere(scene_and_handler, act, tuple(files), range(first, sys.maxsize, every))


def _everywhere(scene: Scene, act: Callable[[Any], object], files: tuple[str, ...], numbers: range) -> int:
    with watching():
        return _each(scene, act, files, numbers)


def _each(scene: Scene, act: Callable[[Any], object], files: tuple[str, ...], numbers: range) -> int:
    """The garbage collector rests meanwhile: what it frees has finalizers and callbacks, which are points too, and it
    comes whenever it likes.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _each_undisturbed(scene, act, files, numbers)
    finally:
        if was_enabled:
            gc.enable()


def _each_undisturbed(scene: Scene, act: Callable[[Any], object], files: tuple[str, ...], numbers: range) -> int:
    warm_up, undisturbed = Injection(None, act, files), Injection(None, act, files)
    error = _run(scene, warm_up) or _run(scene, undisturbed)  # what is done once for all is done in the first
    if error is not None:
        raise error
    failures: list[tuple[Point, BaseException]] = []
    hangs = 0
    tried = range(numbers.start, undisturbed.count + 1, numbers.step)
    for number in tried:
        if number % COLLECT_EVERY == 0:
            gc.collect()
        injection = Injection(number, act, files)
        error = _run(scene, injection)
        if injection.point is None:
            raise NotDeterministic(
                f"undisturbed, the scene has {undisturbed.count} points, but point {number} was not reached"
            ) from error
        if error is not None:
            failures.append((injection.point, error))
            hangs += isinstance(error, _Hangs)
            if hangs == MAX_HANGS:
                break
    if failures:
        raise InjectionFailed(_told(failures, tried)) from failures[0][1]
    return len(tried)


def _told(failures: list[tuple[Point, BaseException]], tried: Sequence[int]) -> str:
    """What failed: a line for each point, and what each kind of failure says once, where it came first."""
    lines = [f"{len(failures)} of the runs were wrong that were disturbed at {len(tried)} points"]
    last = ""
    for point, error in failures:
        told = f"{type(error).__name__}: {error}"
        if told != last:
            lines.append(told)
        last = told
        lines.append(f"    {point}")
    if sum(isinstance(error, _Hangs) for _, error in failures) == MAX_HANGS:
        lines.append(f"after {MAX_HANGS} that hang no more points were tried")
    return "\n".join(lines)


class _Hangs(AssertionError):
    """A run does not end."""


def _run(scene: Scene, injection: Injection) -> BaseException | None:
    """Run the scene in a thread of its own, which can be left behind; returns what it raised."""
    errors: list[BaseException] = []

    def body() -> None:
        try:
            scene(injection)
        except BaseException as error:  # noqa: BLE001  # returned
            errors.append(error)

    thread = threading.Thread(target=body, name="disturbed", daemon=True)
    thread.start()
    thread.join(STUCK_SECONDS)
    if thread.is_alive():
        stack = sys._current_frames().get(thread.ident or 0)
        return _Hangs("it hangs:\n" + "".join(traceback.format_stack(stack)))
    return errors[0] if errors else None
