"""What the `herdless` command is made of: one module for each subcommand, and what they share.

A subcommand is a module, named like it, with `add_arguments(subparsers)`, which adds its parser and
`set_defaults(run=run)`, and `run(args) -> int`, which returns the exit status. Those of this package are named in
`herdless.__main__`; those that `herdless-verify` brings, in `_elsewhere`. Bad input is a CommandError, raised anywhere:
one line on stderr, exit status 2.

The exit status is 0 when all was well, 1 when a promise of herdless was broken, 2 for bad input, 130 after Ctrl-C.
"""
