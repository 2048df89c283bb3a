"""Traces on disk: how a step is written as a line, read again, judged, and drawn."""
