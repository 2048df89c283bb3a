"""The page docs/machine.md, in Python: the real core pressed by hand, a tour of races, traces replayed.

It runs in the reader's browser, beside herdless_core and the reader of traces; so it imports nothing else.
"""
