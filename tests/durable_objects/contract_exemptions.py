"""The scenarios of the contract suite that cannot apply to Durable Objects, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXEMPT: Final[Mapping[str, str]] = {}
