"""How values of a fleet are written: pickled, and signed by the site's SECRET_KEY.

To unpickle is to run code, so nothing is unpickled that this site has not pickled: whoever can write to the store can
bring back an old value, or that of another key, and no more.
"""

from __future__ import annotations

import hmac
import pickle
from typing import Any, Final

from django.conf import settings
from django.utils.crypto import salted_hmac

SALT: Final = "herdless.django"
MARK_BYTES: Final = 32


def encode(value: Any) -> bytes:
    """The mark, and the value pickled. Raises what pickle raises."""
    pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _mark(pickled, settings.SECRET_KEY) + pickled


def decode(encoded: bytes) -> Any:
    """The value. Raises ValueError for what is signed by none of SECRET_KEY and SECRET_KEY_FALLBACKS, and what pickle
    raises.
    """
    mark, pickled = encoded[:MARK_BYTES], encoded[MARK_BYTES:]
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    if not any(hmac.compare_digest(mark, _mark(pickled, secret)) for secret in secrets):
        raise ValueError("not signed by this site's SECRET_KEY")
    return pickle.loads(pickled)  # noqa: S301  # it is this site's own


def _mark(pickled: bytes, secret: str) -> bytes:
    mark: bytes = salted_hmac(SALT, pickled, secret, algorithm="sha256").digest()
    return mark
