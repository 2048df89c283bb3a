"""The parts of `herdless.testing`; import them from there."""
