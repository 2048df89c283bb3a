"""Where the specification is: in a wheel beside this package, in a checkout at its top level."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

NAME: Final = "herdless._specs"
"""Under this name a wheel carries it; the modules in it import each other relatively."""

CHECKOUT: Final = Path(__file__).parents[3] / "specs"


def specs(module: str) -> ModuleType:
    """A module of the specification. Raises ModuleNotFoundError for what it needs and is not installed."""
    if importlib.util.find_spec(NAME) is None and NAME not in sys.modules and CHECKOUT.is_dir():
        found = importlib.util.spec_from_file_location(
            NAME, CHECKOUT / "__init__.py", submodule_search_locations=[str(CHECKOUT)]
        )
        if found is not None and found.loader is not None:
            package = sys.modules[NAME] = importlib.util.module_from_spec(found)
            found.loader.exec_module(package)
    return importlib.import_module(f"{NAME}.{module}")
