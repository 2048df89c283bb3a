"""The configurations under TLC: `python -m herdless_verify.tlc`."""

from __future__ import annotations

import sys

from herdless_verify.tlc.check import main

if __name__ == "__main__":
    sys.exit(main())
