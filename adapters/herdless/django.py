"""herdless as a cache of Django's.

    CACHES = {"default": {"BACKEND": "herdless.django.HerdlessCache", "LOCATION": "shop"}}

`cache.get_or_set(key, load)` then loads a key once, however many requests ask for it, sync and async; `cache_page` does
the same for pages. How to use it, and what differs from Django's own backends: docs/how-to/django.md.
"""

from herdless._django.backend import HerdlessCache
from herdless._django.pages import cache_page
from herdless._django.places import own_connections

__all__ = ["HerdlessCache", "cache_page", "own_connections"]
