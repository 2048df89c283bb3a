"""The contracts under CrossHair: `python -m herdless_verify.crosshair`."""

from __future__ import annotations

import sys

from herdless_verify.crosshair.symbolic import main

if __name__ == "__main__":
    sys.exit(main())
