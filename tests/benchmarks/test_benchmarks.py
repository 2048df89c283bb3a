"""The benchmark itself: that its page shows what was measured, that its guard can fail, that its simulation repeats."""

from __future__ import annotations

import asyncio
from importlib import import_module

import pytest

from tests.benchmarks import archive, guard, instructions, svg
from tests.benchmarks.goals import GOALS, judge
from tests.benchmarks.origin import Origin, Stall
from tests.benchmarks.results import SECTIONS
from tests.benchmarks.shop import bare, plain
from tests.benchmarks.virtual import VirtualTimeLoop, run
from tests.benchmarks.visitors import Crowd, Day, sell


def test_page_shows_the_kept_results_and_no_others() -> None:
    """A figure typed into the page by hand would be a figure that nobody measured."""
    page = archive.PAGE.read_text(encoding="utf-8")
    assert page == archive.with_generated_part(page, archive.generated_part(archive.load()))


def test_every_section_can_be_run_by_name() -> None:
    """A section that does not import is noticed here, not after ten minutes."""
    assert all(callable(import_module(f"tests.benchmarks.{name}").run) for name in SECTIONS)


@pytest.mark.parametrize("compiled", [False, True])
def test_goal_that_is_missed_is_shown_as_missed(*, compiled: bool) -> None:
    """The table of goals must be able to say no."""
    worst = {goal.figure: 0.0 if goal.at_least else 1e9 for goal in GOALS}
    best = {goal.figure: 1e9 if goal.at_least else 0.0 for goal in GOALS}
    assert {row[-1] for row in judge(worst, compiled=compiled).rows} == {"NOT met"}
    assert {row[-1] for row in judge(best, compiled=compiled).rows} == {"met"}
    assert {row[-1] for row in judge({}, compiled=compiled).rows} == {"-"}


def test_guard_fails_when_an_operation_got_dearer(capsys: pytest.CaptureFixture[str]) -> None:
    """Eleven per cent more is caught, nine is not, and it says what to do about it."""
    assert guard.judge({"hit": 1.09}, {"hit": 1.0}) == 0
    assert guard.judge({"hit": 1.11}, {"hit": 1.0}) == 1
    assert guard.UPDATE in capsys.readouterr().out


def test_guard_without_valgrind_skips_with_a_reason_or_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In CI nothing is skipped in silence."""
    monkeypatch.setattr(instructions, "missing_tool", lambda: "valgrind is not installed")
    monkeypatch.delenv("HERDLESS_NO_SKIP", raising=False)
    assert guard.main([]) == 0
    monkeypatch.setenv("HERDLESS_NO_SKIP", "1")
    assert guard.main([]) == 1
    assert capsys.readouterr().out == "skipped: valgrind is not installed\nFAILED: valgrind is not installed\n"


def test_operations_of_the_guard_run() -> None:
    """Under valgrind an exception would be found late."""

    async def main() -> None:
        for prepare in instructions.OPERATIONS.values():
            await (await prepare(3))()

    asyncio.run(main())


def test_virtual_time_passes_without_waiting() -> None:
    """A day is over at once, and at the right instant."""
    loop = VirtualTimeLoop()

    async def main() -> float:
        await asyncio.sleep(86_400)
        return loop.time()

    assert run(main(), loop) == pytest.approx(86_400)


def test_stalled_origin_freezes_its_queries() -> None:
    """A query that was half done when the stall began has the other half to do after it."""
    stall = Stall(1.0, 3.5)
    assert stall.finish(0.5) == pytest.approx(0.52)
    assert stall.finish(0.99) == pytest.approx(3.51)
    assert stall.finish(2.0) == pytest.approx(3.52)
    assert stall.finish(3.5) == pytest.approx(3.52)


def test_sale_gives_the_same_figures_at_every_run() -> None:
    """Virtual time and a fixed seed: a figure of the page can be had again."""
    crowd = Crowd(keys=10, seconds=0.1)

    def day() -> Day:
        return sell(plain, Origin(), crowd)

    assert day() == day()
    assert (day().peak, day().loads) == (1, 10)
    assert sell(bare, Origin(), crowd).peak > 1


def test_plots_are_the_same_bytes_for_the_same_figures() -> None:
    """A plot in the repository changes when its figures do, and only then."""
    values = {"herdless": 1.0, "a & b": 250.0}
    assert svg.bars("Title", values, unit="x") == svg.bars("Title", values, unit="x")
    assert "a &amp; b" in svg.bars("Title", values, unit="x")
    assert "polyline" in svg.lines("Title", {"a": [(1, 2), (10, 20)]}, x="x", y="y")
