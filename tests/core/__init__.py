"""The tests of the pure core: no clock, no loop, no thread."""
