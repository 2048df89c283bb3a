"""How the tests are run: the Hypothesis profiles, and the switch that rewrites golden transcripts.

`ci`, the default, tries the same examples at every run. `--hypothesis-profile=deep` searches for minutes.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100, stateful_step_count=50)
settings.register_profile("deep", deadline=None, max_examples=3_000, stateful_step_count=100)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch of the golden transcripts."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the golden transcripts; read the difference")
