"""A fleet: the entry of a key lies in a store, and whichever process asks for it steps it.

`record` is what lies there: an entry in an envelope. `session` is what a process does to get one key: it is made of
questions to the store and of steps of `herdless_core.transition`, and does no I/O itself. An adapter carries out what
a session asks for. Nothing of it is imported by a cache of one process.
"""
