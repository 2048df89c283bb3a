"""The anchors of headings, as GitHub makes them: the same links work in the repository and on the site."""

from __future__ import annotations

import re
from typing import Final

_DROPPED: Final = re.compile(r"[^\w\- ]")


def slug(text: str, separator: str) -> str:
    """The anchor of a heading with this text; `separator` takes the place of each space."""
    return _DROPPED.sub("", text.strip().lower()).replace(" ", separator)
