"""A step as plain data and back: what one line of a trace says. Version 1 of the format.

A trace is text, one JSON object a line, of three kinds:

    {"herdless_trace": 1, "owner": "812-5ac1e0d3", "policy": {...}, "is_durable": false}
        opens what one owner recorded: a cache of one process, or one instance of a Durable Object. Others may write
        into the same file, by turns. `is_forked`, where it is there: true, the owner is a child process, whose cache
        began with the values of its parent's.
    {"owner": "812-5ac1e0d3", "key": "'a'", "by": "Task-1", "now": 12, "event": {...}, "before": {...}, "after": {...},
     "effects": [...]}
        one step, in its order, on one line. `by`: the task or thread that took it.
    {"owner": "812-5ac1e0d3", "stored": true}
        durable entries only: all that was recorded up to here is on disk (see `TraceWriter.stored`).

Where a writer was not told of an owner, no line names one. A line has at most 2**20 bytes; of longer texts a line has
the beginning and a digest. A line may be cut short, if its writer was killed or the disk was full: then it is the last
of its owner, and the next writer's begins where it ends. What stands in a line under other names is left alone.

Entries are what `herdless_core.to_plain` makes of them; events, effects and policies have the names and the fields of
their classes. Instants and durations are integer nanoseconds, as text where JavaScript would round them; in a policy,
what does not end is null. A value is a stand-in: equal for the same value, and never the value itself. Of an error a
line has the name of its class, its message, and whether `negative_ttl` may remember it. A LoadFailed says whether the
error is an answer (a trace of 0.1: no); a LoadSucceeded whose value is not to be kept has null for its lifetime. The
`age` of a value is how old it was when its load began, or when it was put (a trace of 0.1: new). A Get `reloads` where
a load has to answer (a trace of 0.1: no).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeAlias, cast, final, get_args
from weakref import WeakValueDictionary

from herdless._trace.strict import escaped
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Effect,
    Entry,
    Event,
    Failure,
    Fresh,
    Get,
    LoadError,
    LoadFailed,
    LoadSucceeded,
    LoadTimeout,
    Outcome,
    Plain,
    Policy,
    Put,
    RemoteLoadError,
    Step,
    Value,
    describe,
    from_plain,
    to_plain,
)
from herdless_core._errors import is_memorable
from herdless_core._plain import integer_to_plain, lifetime_from_plain, lifetime_to_plain

VERSION: Final = 1

Name: TypeAlias = str | int
"""What stands for a value."""

EVENTS: Final[Mapping[str, type[Event]]] = {event.__name__: event for event in get_args(Event)}
EFFECTS: Final[Mapping[str, type[Effect]]] = {effect.__name__: effect for effect in get_args(Effect)}

TEXT_LIMIT: Final = 4_000
"""So many characters has a text in a line at most: as JSON they may be twelve times as many bytes."""

SHORT: Final = 1_000
"""So many characters are kept of a text that is longer."""


@final
class RecordedValue:
    """What was a value, by the name that stood for it. Two are the same object where their names are equal."""

    __slots__ = ("__weakref__", "name")

    def __init__(self, name: Name) -> None:
        self.name: Final = name

    def __repr__(self) -> str:
        return f"value {escaped(str(self.name))}"


@final
class RecordedError(Exception):
    """An exception of the loader's, which `negative_ttl` may remember: the class's name, and the message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


@final
class RecordedLoadError(LoadError):
    """One that says nothing of the key, and is not remembered."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


# Writing


def step_to_plain(step: Step, name: Callable[[Any], Name]) -> Plain:
    """The part of a line that the step is; `name` gives a value its stand-in."""
    return rest_to_plain(step.policy) | {
        "now": integer_to_plain(step.now),
        "event": _fields("event", step.event, name),
        "before": _entry(step.before, name),
        "after": _entry(step.after, name),
        "effects": [_fields("effect", effect, name) for effect in step.effects],
    }


def rest_to_plain(policy: Policy) -> Plain:
    """What the policy of a failure has of its own; nothing of the cache's."""
    if policy.derived_from is None:
        return {}
    durations = (policy.negative_lifetime.ttl, policy.refresh_backoff)
    return {"rest": dict(zip(("negative_ttl", "refresh_backoff"), map(_or_null, durations), strict=True))}


def policy_to_plain(policy: Policy) -> Plain:
    """The policy, in nanoseconds."""
    lifetime = policy.lifetime
    is_early = lifetime.early_refresh < lifetime.ttl < NEVER
    return {
        "ttl": _or_null(lifetime.ttl),
        "stale_while_revalidate": _or_null(lifetime.stale_while_revalidate),
        "stale_if_error": _or_null(lifetime.stale_if_error),
        "negative_ttl": _or_null(policy.negative_lifetime.ttl),
        "answers": policy.answers is not None,
        "remember_timeouts": policy.remember_timeouts,
        "early_refresh": integer_to_plain(lifetime.early_refresh) if is_early else None,
        "jitter": policy.jitter,
        "load_timeout": _or_null(policy.load_timeout),
        "soft_timeout": _or_null(policy.soft_timeout),
        "refresh_backoff": _or_null(policy.refresh_backoff),
        "max_waiters": _or_null(policy.max_waiters),
    }


def short(text: str) -> str:
    """The text; of a long one its beginning and what tells it from others, so that a line stays within its limit."""
    if len(text) <= TEXT_LIMIT:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:SHORT]}... ({len(text):,} characters, sha256 {digest})"


def _entry(entry: Entry, name: Callable[[Any], Name]) -> Plain:
    plain = to_plain(entry, name)
    if "error" in plain:
        plain["error"]["message"] = short(plain["error"]["message"])
    return plain


def _fields(kind: str, of: Event | Effect, name: Callable[[Any], Name]) -> Plain:
    return {kind: type(of).__name__} | {
        field.name: _field(field.name, getattr(of, field.name), name) for field in fields(of)
    }


def _field(field: str, content: Any, name: Callable[[Any], Name]) -> Any:
    match field:
        case "value":
            return name(content)
        case "error":
            return _error(content)
        case "outcome":
            return _outcome(content, name)
        case "lifetime":
            return None if content is None else lifetime_to_plain(content)
        case _:
            return content if isinstance(content, bool) else integer_to_plain(content)


def _outcome(outcome: Outcome, name: Callable[[Any], Name]) -> Plain:
    if isinstance(outcome, Failure):
        return {"error": _error(outcome.error)}
    return {
        "value": name(outcome.value),
        "loaded_at": integer_to_plain(outcome.loaded_at),
        "is_stale": outcome.is_stale,
    }


def _error(error: BaseException) -> Plain:
    kind, message = describe(error)
    return {"kind": kind, "message": short(message), "is_memorable": is_memorable(error)}


def _or_null(duration: int) -> int | str | None:
    return None if duration >= NEVER else integer_to_plain(duration)


# Reading


@final
class Decoder:
    """Reads the steps of one trace, from lines that `strict` has parsed: the same name is the same object again, an
    error too.

    Values are kept no longer than somebody else keeps them, so that a long trace needs no more memory than a short one.
    Its methods raise KeyError, TypeError or ValueError for what is missing.
    """

    def __init__(self) -> None:
        self._values: Final[WeakValueDictionary[Name, RecordedValue]] = WeakValueDictionary()
        self._failures: Final[dict[tuple[str, str, bool], Failure]] = {}

    def step(self, plain: Mapping[str, Any], policy: Policy) -> Step:
        """The step that `step_to_plain` was given."""
        return Step(
            self._entry(plain["before"]),
            self._made(EVENTS[plain["event"]["event"]], plain["event"]),
            int(plain["now"]),
            _policy_of_step(plain, policy),
            self._entry(plain["after"]),
            tuple(self._made(EFFECTS[effect["effect"]], effect) for effect in plain["effects"]),
        )

    def _entry(self, plain: Mapping[str, Any]) -> Entry:
        entry = from_plain(plain, self._value)
        if not isinstance(entry, Fresh) or not isinstance(entry.value, Failure):
            return entry
        remembered = cast("RemoteLoadError", entry.value.error)
        failure = self._failure({"kind": remembered.kind, "message": str(remembered), "is_memorable": True})
        return Fresh(failure, entry.loaded_at, entry.lifetime, entry.refresh_at, entry.flight, entry.hit_until)

    def _made(self, cls: Any, plain: Mapping[str, Any]) -> Any:
        # Of what traces of 0.1 know nothing.
        if cls is LoadFailed:
            plain = {"is_answer": False, **plain}
        elif cls is LoadSucceeded or cls is Put:
            plain = {"age": 0, **plain}
        elif cls is Get:
            plain = {"reloads": False, **plain}
        return cls(*(self._field(field.name, plain[field.name]) for field in fields(cls)))

    def _field(self, field: str, plain: Any) -> Any:
        match field:
            case "value":
                return self._value(plain)
            case "error":
                return self._failure(plain).error
            case "outcome" if "error" in plain:
                return self._failure(plain["error"])
            case "outcome":
                return Value(self._value(plain["value"]), int(plain["loaded_at"]), plain["is_stale"])
            case "lifetime":
                return None if plain is None else lifetime_from_plain(plain)
            case "leads" | "can_cancel" | "is_answer" | "reloads":
                return plain
            case _:
                return int(plain)

    def _value(self, name: Name) -> RecordedValue:
        return self._values.setdefault(name, RecordedValue(name))

    def _failure(self, plain: Mapping[str, Any]) -> Failure:
        kind, message, is_remembered = plain["kind"], plain["message"], plain["is_memorable"]
        error: BaseException
        if kind == LoadTimeout.__name__:
            error = LoadTimeout(message)  # the machine makes one itself
        else:
            error = RecordedError(kind, message) if is_remembered else RecordedLoadError(kind, message)
        return self._failures.setdefault((kind, message, is_remembered), Failure(error, None))


def _policy_of_step(plain: Mapping[str, Any], policy: Policy) -> Policy:
    rest = plain.get("rest")
    if rest is None:
        return policy
    return policy.with_rest(_or_never(rest["negative_ttl"]), _or_never(rest["refresh_backoff"]))


def policy_from_plain(plain: Mapping[str, Any]) -> Policy:
    """The policy that `policy_to_plain` was given, to the nanosecond."""
    ttl, early = _or_never(plain["ttl"]), _or_never(plain["early_refresh"])
    max_waiters = _or_never(plain["max_waiters"])
    return Policy(
        ttl=_seconds(ttl),
        stale_while_revalidate=_seconds(_or_never(plain["stale_while_revalidate"])),
        stale_if_error=_seconds(_or_never(plain["stale_if_error"])),
        negative_ttl=_seconds(_or_never(plain["negative_ttl"])),
        answers=_said_already if plain.get("answers", False) else None,
        remember_timeouts=plain.get("remember_timeouts", False),
        # Half a nanosecond more, so that the fraction cannot fall below it.
        early_refresh=(early + 0.5) / ttl if early < ttl < NEVER else None,
        jitter=plain["jitter"],
        load_timeout=_seconds_or_none(_or_never(plain["load_timeout"])),
        soft_timeout=_seconds_or_none(_or_never(plain.get("soft_timeout"))),
        refresh_backoff=_seconds(_or_never(plain["refresh_backoff"])),
        max_waiters=None if max_waiters >= NEVER else max_waiters,
    )


def _said_already(_error: Exception) -> bool:
    """Of a recorded policy: which errors are answers, the steps say themselves."""
    return False


def _or_never(plain: Any) -> int:
    return NEVER if plain is None else int(plain)


def _seconds_or_none(nanoseconds: int) -> float | None:
    return None if nanoseconds >= NEVER else _seconds(nanoseconds)


def _seconds(nanoseconds: int) -> float:
    """The number of seconds that a policy takes for so many nanoseconds: it was made from one."""
    if nanoseconds >= NEVER:
        return math.inf
    near = nanoseconds / NANOSECONDS_PER_SECOND
    candidates = (near, math.nextafter(near, 0), math.nextafter(near, math.inf))
    return next(each for each in candidates if round(each * NANOSECONDS_PER_SECOND) == nanoseconds)
