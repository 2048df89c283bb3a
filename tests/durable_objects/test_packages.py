"""What the real runtime is installed from: where it goes, and what is said when it cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.durable_objects import packages
from tests.durable_objects.bundle import BUNDLE_NAME, BundleError, write_bundle
from tests.durable_objects.conftest import runtime_or_reason


def test_another_pyodide_than_the_one_this_was_written_for_is_named(tmp_path: Path) -> None:
    """An edit that is silently left out would show as a crash of workerd, far from its cause."""
    (tmp_path / "pyodide.asm.mjs").write_text("export default _createPyodideModule;")
    with pytest.raises(BundleError, match=r"does not contain 'new WebAssembly\.Module'"):
        write_bundle(tmp_path, tmp_path)
    assert not (tmp_path / BUNDLE_NAME).exists()


def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred megabytes do not belong into a checkout, nor onto every disk."""
    monkeypatch.setenv("HERDLESS_CACHE", str(tmp_path))
    assert packages.cache_directory() == tmp_path


def test_without_npm_the_tests_are_skipped_and_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A skip that does not name what is missing is never mended."""
    monkeypatch.setenv("HERDLESS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("HERDLESS_NO_SKIP", raising=False)
    with pytest.raises(pytest.skip.Exception, match="node and npm are missing"):
        runtime_or_reason()
    monkeypatch.setenv("HERDLESS_NO_SKIP", "1")
    with pytest.raises(pytest.fail.Exception, match="HERDLESS_NO_SKIP=1 and node and npm are missing"):
        runtime_or_reason()
    assert list(tmp_path.iterdir()) == []
