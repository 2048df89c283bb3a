"""The mistakes, and which checker finds them: `python -m herdless_verify.mutants`."""

from __future__ import annotations

import sys

from herdless_verify.mutants.search import main

if __name__ == "__main__":
    sys.exit(main())
