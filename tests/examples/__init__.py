"""The projects of docs/examples, each run as its README says, with a herd against it."""
