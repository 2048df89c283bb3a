"""herdless as a cache of Django's, with the real Django."""
