"""The three checkers of `herdless verify` with one face, tasks that yield findings; and whether one is blind."""
