"""Frameworks and servers as they are run: forks, event loops that come and go, processes that are frozen."""
