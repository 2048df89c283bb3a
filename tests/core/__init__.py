"""The tests of the pure core: no clock, no loop, no thread."""

import pytest

pytest.register_assert_rewrite(f"{__name__}._keys")  # before it is imported: its failures then show the values
