"""Whether the checkers would notice a mistake, and which of them: `python -m herdless_verify.mutants`."""
