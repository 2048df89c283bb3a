"""The Durable Objects adapter: its parts on CPython, the whole of it in the real workerd."""
