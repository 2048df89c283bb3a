"""What every runtime must do, written once; import it from `herdless.testing.contract`."""

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("herdless.testing.contract needs pytest: pip install pytest", name="pytest") from error

# Before they are imported: failures in them then show the values, as in a user's own tests.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in ("_parts", "_world", "_kinds", "_asyncio", "_promises", "_decisions", "_interleavings")
    )
)
