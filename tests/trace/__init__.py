"""Tests of traces: what is recorded, that it is judged rightly, and what is drawn from it."""
