"""What `herdless.django` is made of: the cache backend, and pages."""
