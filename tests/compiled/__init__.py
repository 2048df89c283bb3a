"""The compiled wheel: `python -m tests.compiled` builds it, installs it, and runs the tests on it."""
