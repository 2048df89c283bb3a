"""What a cache logs of refreshes that fail: an outage is a few lines, however many keys and refreshes it has.

A refresh that fails is seen by no caller: the old value is served. So it is logged, and since a busy cache fails
thousands of times in a minute without its origin, `FailureLog` decides what of that is told, for each kind of error:

- the first failure, with its traceback;
- then, at most once a minute, how many there were since;
- once, that refreshes succeed again: when each key that failed was loaded, or at the first load a minute after the last
  failure. A single key that goes on failing while others are loaded is no end of an outage.

It is called outside of the cache's lock, reads no clock and logs nothing itself; `write` logs what it says. Threads
that call it at the same moment may lose a count: it takes no lock, so that nothing that runs in between can stop it.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, final

from herdless_core import NANOSECONDS_PER_SECOND, Effects, Settle, Value

LOGGER: Final = logging.getLogger("herdless")


@final
class Log:
    """Where a cache logs: the logger `herdless`, or `herdless.NAME` of a cache with a name.

    Every record has the fields `herdless_cache`, the name or None, and `herdless_event`. What a log handler raises is
    no affair of the cache's.
    """

    __slots__ = ("_once", "logger", "name")

    def __init__(self, name: str | None = None) -> None:
        self._once: Final[set[str]] = set()
        self.name: Final = name
        self.logger: Final = LOGGER if name is None else LOGGER.getChild(name)

    def tell(self, event: str, text: str, *arguments: object, error: BaseException | None = None) -> None:
        """Log a warning, with the traceback of the error, if there is one."""
        self._write(logging.WARNING, event, text, *arguments, error=error)

    def tell_failure(self, event: str, text: str, *arguments: object, error: BaseException) -> None:
        """Log an error: code of the user's failed, and nobody else is told."""
        self._write(logging.ERROR, event, text, *arguments, error=error)

    def _write(self, level: int, event: str, text: str, *arguments: object, error: BaseException | None) -> None:
        extra = {"herdless_event": event, "herdless_cache": self.name}
        with contextlib.suppress(Exception):
            self.logger.log(level, text, *arguments, exc_info=error, extra=extra, stacklevel=3)

    def tell_once(self, event: str, text: str, *arguments: object) -> None:
        """The same, the first time that this event is told of this cache."""
        if event not in self._once:
            self._once.add(event)
            self.tell(event, text, *arguments)


UNNAMED: Final = Log()

What: TypeAlias = Literal["refresh_failed", "refreshes_fail", "refreshes_succeed"]

PAUSE: Final = 60 * NANOSECONDS_PER_SECOND
"""At least so long, in nanoseconds of the cache's clock, lies between two reports of one kind of error."""

MOST_KINDS: Final = 20
"""So many kinds of errors are told apart; all others count as one."""

MOST_KEYS: Final = 10_000
"""So many keys that failed are told apart; of more, `keys` says so many."""

OTHER_KINDS: Final = "other errors"


@final
@dataclass(frozen=True, slots=True)
class Report:
    """One line of a log. `_FORMATS` says how it reads, docs/guide.md under which names its fields are in the record."""

    what: What
    error: str
    """The kind of error: the name of its class."""
    failures: int
    """How many refreshes failed: since the last report, or in `refreshes_succeed` during the whole outage."""
    keys: int
    """How many keys that failed were not loaded since; in `refreshes_succeed` 0, or those that nobody asks for."""
    seconds: float
    """In what time, by the cache's clock."""


@final
@dataclass(slots=True)
class _Outage:
    """What is known of one kind of error. It is over while `is_open` is not set, and told_at still counts."""

    began_at: int
    told_at: int
    failed_at: int
    failures: int = 0
    untold: int = 0
    is_open: bool = False
    is_told: bool = False
    keys: set[int] = field(default_factory=set)
    """The hashes of the keys that failed, and were not loaded since. Not the keys, which would be kept."""
    has_more_keys: bool = False


@final
class FailureLog:
    """Decides what is told of the refreshes of one cache.

    After a failure that no caller sees call `failed`; after a load that succeeded `succeeded`, if `is_failing` is set.
    `now`: nanoseconds, of the cache's clock.
    """

    __slots__ = ("_outages", "is_failing")

    def __init__(self) -> None:
        self.is_failing = False
        """Whether an outage is open: all that a load that succeeds has to look at."""
        self._outages: Final[dict[str, _Outage]] = {}

    def failed(self, key: object, error: BaseException, now: int) -> Report | None:
        """A refresh of the key failed by this error: what is to be told of it, if anything."""
        kind = self._kind(error)
        made = _Outage(now, now, now)
        outage = self._outages.setdefault(kind, made)
        if not outage.is_open:
            outage.began_at, outage.failures, outage.is_told, outage.has_more_keys = now, 0, False, False
            outage.is_open = True
        self.is_failing = True
        outage.failed_at = now
        outage.failures += 1
        outage.untold += 1
        if len(outage.keys) < MOST_KEYS:
            outage.keys.add(_hash(key))
        else:
            outage.has_more_keys = True
        if outage is not made and now - outage.told_at < PAUSE:
            return None
        what: What = "refreshes_fail" if outage.is_told else "refresh_failed"
        report = Report(what, kind, outage.untold, len(outage.keys), _seconds(now - outage.told_at))
        outage.told_at, outage.untold, outage.is_told = now, 0, True
        return report

    def succeeded(self, key: object, now: int) -> list[Report]:
        """A load of the key succeeded: the outages that are over by it, of those that were told."""
        reports = []
        mark = _hash(key)
        for kind, outage in list(self._outages.items()):
            outage.keys.discard(mark)
            all_loaded = not outage.keys and not outage.has_more_keys
            if outage.is_open and (all_loaded or now - outage.failed_at >= PAUSE):
                outage.is_open = False
                if outage.is_told:
                    seconds = _seconds(outage.failed_at - outage.began_at)
                    reports.append(Report("refreshes_succeed", kind, outage.failures, len(outage.keys), seconds))
                outage.keys.clear()
        self.is_failing = any(outage.is_open for outage in list(self._outages.values()))
        return reports

    def _kind(self, error: BaseException) -> str:
        kind = type(error).__qualname__
        return kind if kind in self._outages or len(self._outages) < MOST_KINDS else OTHER_KINDS


def is_unseen(waiters: int | None, effects: Effects) -> bool:
    """Whether a load that failed, for which so many waited, is known to none of them: none was left, or they are
    answered with the value that is kept. `waiters` is None where the flight had ended before.
    """
    settled = [effect.outcome for effect in effects if isinstance(effect, Settle)]
    return waiters is not None and bool(settled) and (waiters == 0 or any(isinstance(one, Value) for one in settled))


def write(report: Report, key: str, error: BaseException | None = None, log: Log = UNNAMED) -> None:
    """Log the report; `key`: the text that stands for the key it was made at; `log`: of the cache."""
    fields = {
        "herdless_cache": log.name,
        "herdless_event": report.what,
        "herdless_error": report.error,
        "herdless_failures": report.failures,
        "herdless_keys": report.keys,
        "herdless_key": key,
        "herdless_seconds": report.seconds,
    }
    traceback = error if report.what == "refresh_failed" else None
    log.logger.warning(_FORMATS[report.what], fields, exc_info=traceback, extra=fields)


# All of one level: whoever is shown the outage is shown its end.
_FORMATS: Final[dict[What, str]] = {
    "refresh_failed": "the refresh of %(herdless_key)s failed; further failures by %(herdless_error)s are counted",
    "refreshes_fail": (
        "refreshes go on failing by %(herdless_error)s: %(herdless_failures)d failures in %(herdless_seconds).0f s, "
        "of %(herdless_keys)d keys, such as %(herdless_key)s"
    ),
    "refreshes_succeed": (
        "refreshes succeed again: %(herdless_failures)d failed by %(herdless_error)s in %(herdless_seconds).0f s"
    ),
}


def _hash(key: object) -> int:
    try:
        return hash(key)
    except Exception:  # noqa: BLE001  # a key may have changed since it was looked up
        return 0


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / NANOSECONDS_PER_SECOND
