"""Tags: what a value was made from, by which it can be found and invalidated together with others.

TAGS is an index of the entries that have tags. It is made for the first tag of a keyspace; before, there is none, and
nothing of it costs anything. It holds a key for as long as the key's value is held, and no longer: where a value leaves
without another one in its place, the store says so (`Store._leave`), and where another one comes, the keyspace does.
What it forgets is added to `leaving`, and so let go after the critical section.

FLIGHTS IN THE AIR. What tags a value has is known when its load ends. So an invalidation is noted, as long as flights
are in the air that began before it: these may have read what it makes wrong. A flight whose value turns out to have a
tag that was invalidated since the flight began is OUTDATED, and its value is not stored. Validity counts from the start
of a load, as age does (FusionCache learnt it in its issues 625 and 628).

Who began before what is a matter of two counters. A flight began before an invalidation where its generation is not
greater than the last one that was used at that moment. And invalidations are numbered: callers who joined a flight
before the first one that made it outdated are answered with its value, for they asked before. Those who joined after
that one look again. The adapter tells the two apart, by the number.

So that a load which hangs for ever does not make the notes grow for ever, they are thrown together where there are more
than MOST_NOTES: a flight that old is outdated where its value has any tag at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, TypeVar, final

from herdless_core._errors import PolicyError

K = TypeVar("K")

MOST_NOTES: Final = 5_000
"""Where more invalidations than this are of use, each by its tag, for flights in the air, they are thrown together. Of
those that are of no use any more there are never more than of the others, but for FEW_NOTES.
"""

FEW_NOTES: Final = 64


def tags_of(tags: object) -> tuple[str, ...]:
    """The tags, each once and in their order, as plain strings; PolicyError where they are no collection of them."""
    if isinstance(tags, (str, bytes, bytearray)) or not isinstance(tags, Iterable):
        raise PolicyError(
            f'tags={tags!r} is not accepted: give a collection of strings that are not empty, such as ("user:7",)'
        )
    return tuple(dict.fromkeys(_tag("tags", tag) for tag in tags))


def tags_named(tags: tuple[object, ...]) -> tuple[str, ...]:
    """The tags that `invalidate_tag` was given, one by each argument; PolicyError for what is no tag."""
    return tuple(dict.fromkeys(_tag("tag", tag) for tag in tags))


def _tag(argument: str, tag: object) -> str:
    if not isinstance(tag, str) or not tag:
        where = f"tag={tag!r} is not accepted" if argument == "tag" else f"{tag!r} in tags= is not accepted"
        raise PolicyError(f"{where}: a tag is a string that is not empty")
    return str.__str__(tag)  # a plain one: those of a subclass may be compared by foreign code


@final
class Label(Generic[K]):
    """The tags of one key's value. It is found by its identity, so that only one table has keys, whose hash and
    equality are foreign code.
    """

    __slots__ = ("key", "tags")

    def __init__(self, key: K, tags: tuple[str, ...]) -> None:
        self.key: Final = key
        self.tags: Final = tags


@final
class Note:
    """One invalidation of a tag: the last generation at that moment, and its number."""

    __slots__ = ("generation", "number")

    def __init__(self, generation: int, number: int) -> None:
        self.generation: Final = generation
        self.number: Final = number


@final
class Tags(Generic[K]):
    """Which keys have values with a tag, and which tags were invalidated since flights in the air began.

    leaving: where that is put which is to be let go after the critical section.

    `widen` comes before the step that stores a value, and `narrow` after it. So whatever breaks the step off, a value
    is held with all its tags, or with more.
    """

    __slots__ = ("_all", "_forgets_at", "_groups", "_labels", "_leaving", "_notes", "_size", "number")

    def __init__(self, leaving: list[object]) -> None:
        self._leaving: Final = leaving
        self._labels: dict[K, Label[K]] = {}
        self._groups: dict[str, dict[Label[K], None]] = {}
        """By tag; in their order, so that a run can be repeated."""
        self.number = 0
        """Of the last invalidation that was noted."""
        self._notes: Final[dict[str, list[Note]]] = {}
        """By tag, in their order; of several at one generation the first."""
        self._size = 0
        """How many notes there are."""
        self._forgets_at = FEW_NOTES
        """With how many those are looked for that are of no use any more."""
        self._all: Note | None = None
        """Where notes were thrown together: every tag was invalidated, from the first of them on up to the last."""

    def __len__(self) -> int:
        """How many keys have a value with tags."""
        return len(self._labels)

    # The tags of what is held

    def tags(self, key: K) -> tuple[str, ...]:
        """The tags of the key's value."""
        label = self._labels.get(key)
        return () if label is None else label.tags

    def labels(self) -> Mapping[K, Label[K]]:
        """By key, as they are now. No key is asked for its hash."""
        return self._labels.copy()

    def keys(self, tags: Iterable[str]) -> list[K]:
        """The keys whose values have one of the tags, each once."""
        found: dict[Label[K], None] = {}
        for tag in tags:
            found.update(dict.fromkeys(self._groups.get(tag, ())))
        return [label.key for label in found]

    def widen(self, key: K, tags: tuple[str, ...]) -> None:
        """The key's value is about to be one with these tags: it has them beside those of the value before."""
        self.replace(key, tuple(dict.fromkeys((*self.tags(key), *tags))))

    def narrow(self, key: K, tags: tuple[str, ...]) -> None:
        """The key's value has only these of its tags. Where the key raises, it has all, which does no harm."""
        try:
            self.replace(key, tags)
        except Exception:  # noqa: BLE001  # the key's own, of any kind: its value is stored all the same
            return

    def replace(self, key: K, tags: tuple[str, ...]) -> None:
        """The key's value has these tags, and no other."""
        before = self._labels.get(key)
        if (() if before is None else before.tags) == tags:
            return
        if tags:
            known = tuple([self._known(tag) for tag in tags])
            label = self._labels[key] = Label(key if before is None else before.key, known)
            _add(self._groups, label)
        else:
            self._labels.pop(key, None)
        if before is not None:
            self._take_off(before)

    def _known(self, tag: str) -> str:
        """The string that others who have the tag hold: each loader's own would be fifty bytes more for each entry."""
        return next((known for label in self._groups.get(tag, ()) for known in label.tags if known == tag), tag)

    def drop(self, key: K) -> None:
        """The key has no value any more, or one without tags."""
        try:
            label = self._labels.pop(key, None)
        except Exception:  # noqa: BLE001  # the key's own, of any kind: `keep` will find what is left of it
            return
        if label is not None:
            self._take_off(label)

    def _take_off(self, label: Label[K]) -> None:
        self._leaving.append(label)
        for tag in label.tags:
            group = self._groups.get(tag, {})
            group.pop(label, None)
            if not group:
                self._groups.pop(tag, None)

    def clear(self) -> None:
        """No value is held any more."""
        self._leaving.append(self._labels)
        self._labels = {}
        self._groups = {}

    def keep(self, is_held: Callable[[K], bool]) -> None:
        """Tables were put together again, or a step was broken off: only keys that hold a value have tags.

        is_held: whether the key leads to a value; it does not raise.
        """
        labels: dict[K, Label[K]] = {}
        groups: dict[str, dict[Label[K], None]] = {}
        for label in list(self._labels.values()):
            if not is_held(label.key):
                self._leaving.append(label)
                continue
            _add(groups, label)
            try:  # noqa: SIM105  # the core imports no contextlib
                labels[label.key] = label
            except Exception:  # noqa: BLE001, S110  # the key's own, of any kind: the tag leads to it all the same
                pass
        self._labels = labels
        self._groups = groups

    # Invalidations, for the flights in the air

    def note(self, tags: Iterable[str], generation: int, oldest: int) -> None:
        """These tags are invalidated now.

        generation: the last one that was used; oldest: that of the oldest flight in the air, at most `generation`.
        """
        self.number += 1
        for tag in tags:
            notes = self._notes.setdefault(tag, [])
            if not notes or notes[-1].generation != generation:
                notes.append(Note(generation, self.number))
                self._size += 1
        if self._size > self._forgets_at:
            self.forget(oldest)
            if self._size > MOST_NOTES:
                self._throw_together(generation)
            self._forgets_at = 2 * self._size + FEW_NOTES

    def _throw_together(self, generation: int) -> None:
        first = min(notes[0].number for notes in self._notes.values())
        self._all = Note(generation, first if self._all is None else self._all.number)
        self._forget_notes()

    def forget(self, oldest: int) -> None:
        """No flight older than this generation is in the air."""
        for tag, notes in list(self._notes.items()):
            kept = [note for note in notes if note.generation >= oldest]
            if kept:
                notes[:] = kept
            else:
                del self._notes[tag]
        self._size = sum(map(len, self._notes.values()))
        if self._all is not None and self._all.generation < oldest:
            self._all = None

    def forget_all(self) -> None:
        """No flight is in the air."""
        self._forget_notes()
        self._all = None

    def _forget_notes(self) -> None:
        self._notes.clear()
        self._size = 0

    def outdated_by(self, generation: int, tags: Iterable[str]) -> int:
        """The number of the first invalidation of one of these tags since the flight of this generation began; 0 where
        there was none.
        """
        numbers = [note.number for tag in tags for note in self._notes.get(tag, ()) if note.generation >= generation]
        if self._all is not None and tags and self._all.generation >= generation:
            numbers.append(self._all.number)
        return min(numbers, default=0)


def _add(groups: dict[str, dict[Label[K], None]], label: Label[K]) -> None:
    for tag in label.tags:
        groups.setdefault(tag, {})[label] = None
