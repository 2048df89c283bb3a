"""The browser that the machine has: Debian's chromium, or Chrome. None is downloaded."""

from __future__ import annotations

import os
import shutil
from typing import Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


def found() -> str | None:
    """The path of the browser; None where there is none. HERDLESS_BROWSER names another one."""
    named = os.environ.get("HERDLESS_BROWSER")
    return named or next(filter(None, map(shutil.which, NAMES)), None)
