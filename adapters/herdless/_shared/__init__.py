"""The cache of a fleet: what `SharedCache` is in every runtime. Imported by nobody who has no store."""
