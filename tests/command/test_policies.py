"""`herdless verify --policy-of` and `--require`: the user's own cache, and the user's own promise."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from herdless.__main__ import main
from herdless_core import NANOSECONDS_PER_SECOND
from herdless_verify.checkers import checks
from herdless_verify.command.policies import policy_of
from herdless_verify.exploration.search import explore
from herdless_verify.mistakes import machine_edits

SHOP = """
import herdless.asyncio
from herdless import Policy
from herdless.stores import MemoryStore
from herdless.threads import Cache, SharedCache, cached

prices = Cache(str.upper, ttl=TTL, stale_if_error=300, load_timeout=10)

class Names:
    @cached(ttl=5)
    def name(self, key): return key

@herdless.asyncio.cached(ttl=60)
async def user(key): return key

policy = Policy(ttl=7)
shared = SharedCache(str.upper, ttl=8, store=MemoryStore())
nothing = 5
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"shop_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SHOP.replace("TTL", "60"), encoding="utf-8")
    return tmp_path / f"{name}.py"


def verify(*arguments: str) -> int:
    """Run `herdless verify ARGUMENTS` by the exploration alone; returns its exit status."""
    return main(["verify", "--with", "explore", *arguments])


def test_policy_is_that_of_the_cache_itself(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ttl that is changed in the program is verified as it is; several at once, methods and functions too."""
    name = shop.stem
    assert verify("--policy-of", f"{name}:prices", "--policy-of", f"{name}:Names.name", "--policy", "ttl=9") == 0
    printed = capsys.readouterr().out
    assert f"policies: ttl=9; {name}:prices; {name}:Names.name\n" in printed
    assert f"\n{name}:prices means:\n  at most 1 load of a key" in printed
    for sentence in (
        "  whatever fails, nobody is served anything that is 360 s old (age)",
        "  no caller waits for a load for longer than 10 s (wait)",
        "  no value counts as fresh that was loaded 5 s ago or earlier (fresh)",
        "  no value counts as fresh that was loaded 9 s ago or earlier (fresh)",
    ):
        assert f"\n{sentence}\n" in printed


def test_policy_of_a_shared_cache_is_that_of_its_fleet(shop: Path) -> None:
    """What each process holds near has a policy of its own, which is nobody's."""
    assert policy_of(f"{shop.stem}:shared").lifetime.ttl == 8 * NANOSECONDS_PER_SECOND


def test_requirement_that_is_not_kept_fails_with_the_way_there(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What someone runs in CI is their promise, not ours."""
    of = ("--policy-of", f"{shop.stem}:prices")
    assert verify(*of, "--require", "age<=360", "--require", "wait<=10", "--require", "retry>=1") == 0
    assert "--require age<=360" in capsys.readouterr().out
    assert verify(*of, "--require", "age<=300") == 1
    printed = capsys.readouterr().out
    assert f"--require age<=300, by explore: not kept by {shop.stem}:prices: it is 360\n  " in printed
    assert "\n  Put -> " in printed.partition("it is 360")[2], "the shortest way there"
    assert verify("--policy-of", f"{shop.stem}:user", "--require", "wait<=2") == 1
    assert "there is no bound" in capsys.readouterr().out


def test_a_machine_that_breaks_the_user_s_promise_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The number is that of the machine, and not read out of the policy."""
    machine = machine_edits()["a failed refresh does not back off"].machine()
    arguments = ("--policy", "ttl=60,stale_if_error=300,refresh_backoff=5", "--require", "retry>=5")
    assert verify(*arguments) == 0
    capsys.readouterr()
    monkeypatch.setattr(checks, "explore", partial(explore, machine=machine))
    assert verify(*arguments) == 1
    assert "--require retry>=5, by explore: not kept by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy-of", "no_such_module:cache"), "--policy-of no_such_module:cache: ModuleNotFoundError"),
        (("--policy-of", "math:pi"), "--policy-of math:pi: that is float, and has no policy: name a cache"),
        (("--policy-of", "math"), "--policy-of math: that is module, and has no policy: name a cache"),
        (("--require", "age<300"), "'age<300' is not accepted: give one of"),
        (("--require", "age<=300", "--with", "tlc"), "--require is judged by the checker explore"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And exit status 2."""
    try:
        status = verify(*arguments)
    except SystemExit as refused:
        status = refused.code if isinstance(refused.code, int) else 1
    assert status == 2
    assert message in capsys.readouterr().err
