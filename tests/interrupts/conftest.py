"""Until the cache repairs itself these are run by name alone."""

import os

collect_ignore = [] if os.environ.get("HERDLESS_INTERRUPTS") else ["test_interrupts.py", "test_handlers.py"]
