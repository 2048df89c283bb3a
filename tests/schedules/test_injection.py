"""What disturbs a piece of code at every point disturbs it at every point, and tells what went wrong where."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Generator
from types import CodeType

import pytest

from herdless._testing import _injection
from herdless.testing import (
    Injection,
    InjectionFailed,
    NotDeterministic,
    call_everywhere,
    interrupt_everywhere,
)

HERE = (__file__,)


def straight(numbers: list[int]) -> int:
    """Neither branches nor calls of C functions."""
    total = numbers[0] + numbers[1]
    numbers[2] = total
    return total * 2


def instructions(code: CodeType) -> int:
    """How many there are that can be disturbed: before RESUME the function has not been entered."""
    return sum(each.opname != "RESUME" for each in dis.get_instructions(code))


def test_every_instruction_is_a_point() -> None:
    """A proof by all points is none if some are left out, and interpreters differ in when they tell of instructions."""
    reached: set[int | None] = set()

    def scene(injection: Injection) -> None:
        numbers = [1, 2, 0]
        with injection:
            straight(numbers)
        reached.add(injection.point.number if injection.point is not None else None)

    points = interrupt_everywhere(scene, files=HERE)
    assert points == instructions(straight.__code__)
    assert reached == {None, *range(1, points + 1)}


def test_points_are_in_what_is_called_and_in_generators_too() -> None:
    """A method is no more than the functions it calls, and a coroutine is entered many times."""

    def inner() -> Generator[int, None, None]:
        yield 1
        yield 2

    def outer(seen: list[int]) -> None:
        for number in inner():
            seen.append(number)  # noqa: PERF402  # instructions are what this is about

    seen_by_runs: set[tuple[int, ...]] = set()

    def scene(injection: Injection) -> None:
        seen: list[int] = []
        with injection:
            outer(seen)
        seen_by_runs.add(tuple(seen))

    points = interrupt_everywhere(scene, files=HERE)
    assert points > instructions(outer.__code__) + instructions(inner.__code__)
    assert seen_by_runs == {(), (1,), (1, 2)}


def test_what_is_not_named_is_no_point() -> None:
    """A user's own files are disturbed only when asked for."""

    def scene(injection: Injection) -> None:
        with injection:
            straight([1, 2, 0])

    assert interrupt_everywhere(scene) == 0


def test_a_point_after_a_call_is_before_its_result_is_kept() -> None:
    """A lock that was taken by `acquire()` is held although the block that gives it back was not entered."""

    def take(lock: threading.Lock) -> None:
        lock.acquire()
        try:
            pass
        finally:
            lock.release()

    def scene(injection: Injection) -> None:
        lock = threading.Lock()
        with injection:
            take(lock)
        assert not lock.locked(), "the lock is held"

    with pytest.raises(InjectionFailed, match=r"after lock\.acquire in CALL at test_injection\.py"):
        interrupt_everywhere(scene, files=HERE)


def test_any_exception_can_be_raised() -> None:
    """Soft time limits raise an ordinary Exception, which `except Exception` catches."""

    class TooLong(Exception):
        pass

    caught: list[type[BaseException]] = []

    def guarded() -> None:
        try:
            straight([1, 2, 0])
        except Exception as error:  # noqa: BLE001  # what this is about
            caught.append(type(error))

    def scene(injection: Injection) -> None:
        with injection:
            guarded()
        assert injection.point is None or isinstance(injection.error, TooLong)

    interrupt_everywhere(scene, error=TooLong, files=HERE)
    assert set(caught) == {TooLong}


def test_another_error_than_the_one_raised_leaves_the_block() -> None:
    """What the code makes of the exception is for the scene to see."""

    def translates() -> None:
        try:
            straight([1, 2, 0])
        except KeyboardInterrupt as error:
            raise LookupError("translated") from error

    def scene(injection: Injection) -> None:
        with injection:
            translates()

    with pytest.raises(InjectionFailed, match="LookupError: translated") as failed:
        interrupt_everywhere(scene, files=HERE)
    assert isinstance(failed.value.__cause__, LookupError)


def test_calls_are_made_at_every_point_and_disturb_nothing() -> None:
    """A signal's handler returns to where it came in between."""
    at: list[int] = []

    def scene(injection: Injection) -> None:
        numbers = [1, 2, 0]
        with injection.using(numbers):
            assert straight(numbers) == 6

    points = call_everywhere(scene, lambda numbers: at.append(numbers[2]), files=HERE)
    assert points == instructions(straight.__code__) == len(at)
    assert set(at) == {0, 3}


def test_what_a_handler_raises_fails_the_run() -> None:
    """A finalizer's error is swallowed by the interpreter, and must not be lost in a proof."""

    def scene(injection: Injection) -> None:
        with injection.using(None):
            straight([1, 2, 0])

    def handler(_: object) -> None:
        raise LookupError("from the handler")

    with pytest.raises(InjectionFailed, match="from the handler"):
        call_everywhere(scene, handler, files=HERE)


def test_wrapped_functions_are_points_without_any_instructions() -> None:
    """A compiled library has no instructions to come in between, but it calls the loader and the clock."""
    ended: list[str] = []

    def scene(injection: Injection) -> None:
        step = injection.wrap(ended.append)
        with injection:
            step("a")
            injection.pass_point("in a key's __hash__")
            step("b")

    assert interrupt_everywhere(scene, files=()) == 5
    assert "".join(ended) == "ab" * 2 + "" + "a" * 3 + "ab"


def test_only_the_thread_inside_of_the_block_is_disturbed() -> None:
    """A signal's exception is raised in one thread; the others go on."""

    def scene(injection: Injection) -> None:
        def body() -> None:
            with injection:
                straight([1, 2, 0])

        thread = threading.Thread(target=body)
        thread.start()
        straight([1, 2, 0])
        thread.join()

    assert interrupt_everywhere(scene, files=HERE) == instructions(straight.__code__)


def test_a_run_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that hangs says nothing; this one says where, and that no more was tried."""
    monkeypatch.setattr(_injection, "STUCK_SECONDS", 0.05)
    never = threading.Event()

    def scene(injection: Injection) -> None:
        with injection:
            straight([1, 2, 0])
        if injection.point is not None:
            never.wait()

    with pytest.raises(InjectionFailed, match=r"(?s)it hangs:.*never.wait\(\).*after 3 that hang"):
        interrupt_everywhere(scene, files=HERE)
    never.set()


def test_a_scene_that_fails_undisturbed_is_the_scenes_fault() -> None:
    """Its error comes as it is, before anything is disturbed."""

    def scene(_: Injection) -> None:
        raise LookupError("of the scene")

    with pytest.raises(LookupError, match="of the scene"):
        interrupt_everywhere(scene)


def test_a_run_that_is_not_the_same_each_time_is_told() -> None:
    """Points that are not reached again were not tried."""
    runs: list[None] = []

    def scene(injection: Injection) -> None:
        runs.append(None)
        if len(runs) <= 2:  # the one to warm up, and the one that is counted
            with injection:
                straight([1, 2, 0])

    with pytest.raises(NotDeterministic, match="point 1 was not reached"):
        interrupt_everywhere(scene, files=HERE)


def test_tracing_is_as_it_was_afterwards() -> None:
    """Debuggers and coverage trace as well."""
    seen: list[object] = []

    def tracer(*_: object) -> None:
        return None

    def scene(injection: Injection) -> None:
        sys.settrace(tracer)
        with injection:
            straight([1, 2, 0])
        seen.append(sys.gettrace())
        sys.settrace(None)

    assert interrupt_everywhere(scene, files=HERE) + 2 == len(seen)
    assert set(seen) == {tracer}
