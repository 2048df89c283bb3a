"""The benchmark that anyone can repeat: `python -m tests.benchmarks`; and a guard for CI: `tests.benchmarks.guard`."""
