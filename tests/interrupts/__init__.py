"""Exceptions and calls at every point of what a cache does: docs/testing.md."""
