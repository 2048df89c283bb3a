"""Checking a policy against the promises, over every state that a small world can reach. Needs nothing but Python."""
