"""Contracts of one step, and CrossHair, which confirms them over all paths: `python -m herdless_verify.crosshair`."""
