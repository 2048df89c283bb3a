"""The tests of herdless."""
