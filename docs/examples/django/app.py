"""A shop's prices, from SQLite, through Django's cache. `python app.py` serves them on port 8000, or on $PORT."""

import os
import sys

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    CACHES={
        "default": {
            "BACKEND": "herdless.django.HerdlessCache",
            "LOCATION": "shop",
            "TIMEOUT": 60,
            "OPTIONS": {"early_refresh": 0.8, "stale_if_error": 3600},
        }
    },
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", "shop.sqlite")}},
    ROOT_URLCONF=__name__,
)
django.setup()

from django.core.cache import cache  # noqa: E402  # after the settings
from django.db import connection  # noqa: E402  # as above

from herdless.django import cache_page  # noqa: E402  # as above


def query(item: str) -> int | None:
    """Ask the database."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO queries (item) VALUES (%s)", [item])  # so that the herd can be counted
        cursor.execute("SELECT price FROM prices WHERE item = %s", [item])
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def price(request: HttpRequest, item: str) -> JsonResponse:
    """One price: one query, however many ask."""
    found = cache.get_or_set(f"price:{item}", lambda: query(item))
    return JsonResponse({item: found}, status=404 if found is None else 200)


@cache_page(60)
def index(request: HttpRequest) -> JsonResponse:
    """A whole page: made once, however many ask."""
    return JsonResponse({item: query(item) for item in ("tea", "coffee")})


urlpatterns = [path("prices/<str:item>", price), path("index", index)]


def prepare() -> None:
    """Fill the database."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS prices (item TEXT PRIMARY KEY, price INTEGER)")
        cursor.execute("CREATE TABLE IF NOT EXISTS queries (item TEXT)")
        cursor.execute("INSERT OR REPLACE INTO prices VALUES ('tea', 3), ('coffee', 4)")
    connection.close()


if __name__ == "__main__":
    prepare()
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", os.environ.get("PORT", "8000")])
