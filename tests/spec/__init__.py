"""The specification, and that the code is the same machine."""
