"""The shared cache where waiting is awaited: what asyncio and trio have in common."""
