"""Real runs of the adapters under schedules that repeat; see docs/testing.md."""
