"""The `herdless` command."""
