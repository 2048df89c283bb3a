"""Metrics and spans of caches, with the real libraries."""
