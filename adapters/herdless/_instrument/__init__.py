"""What `herdless.instrument` is made of: figures of caches, and two ways to show them."""
