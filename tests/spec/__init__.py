"""The tests of the specification, and of its bridge to the code."""
