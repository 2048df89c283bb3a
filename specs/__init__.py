"""The TLA+ specification, and the bridge between it and the code."""
