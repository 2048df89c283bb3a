"""A fleet: real stores, real processes."""
