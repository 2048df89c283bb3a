"""Django's settings, for the process of the tests: three caches, and a database in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BACKEND = "herdless.django.HerdlessCache"
CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": BACKEND, "LOCATION": "tests"},
    "prefixed": {"BACKEND": BACKEND, "LOCATION": "tests", "KEY_PREFIX": "p", "VERSION": 2},
    "other": {"BACKEND": BACKEND, "LOCATION": "other", "TIMEOUT": 60},
    "stale": {
        "BACKEND": BACKEND,
        "LOCATION": "stale",
        "TIMEOUT": 60,
        "OPTIONS": {"stale_while_revalidate": 300, "stale_if_error": 3600, "MAX_ENTRIES": None},
    },
}


def pytest_configure() -> None:
    """Once for the process: Django takes settings no second time."""
    try:
        import django
        from django.conf import settings
    except ModuleNotFoundError:
        return  # the tests are left out, and say so
    if not settings.configured:
        settings.configure(
            CACHES=CACHES,
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            ALLOWED_HOSTS=["testserver"],
            SECRET_KEY="for tests",  # noqa: S106  # of nothing
            ROOT_URLCONF="tests.django.urls",
            TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
            USE_TZ=True,
        )
        django.setup()


@contextmanager
def joined(cache: Any, number: int) -> Iterator[threading.Event]:
    """An event that is set when so many callers have joined loads of the cache."""
    from herdless_core import Join, Step

    event, seen = threading.Event(), []

    def observe(key: object, step: Step) -> None:
        if any(isinstance(effect, Join) and not effect.leads for effect in step.effects):
            seen.append(key)
            if len(seen) == number:
                event.set()

    cache._add_observer(observe)
    try:
        yield event
    finally:
        cache._drop_observer(observe)


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    """Every test begins with empty caches."""
    from herdless.testing import clear_all

    clear_all()
    yield
    clear_all()
