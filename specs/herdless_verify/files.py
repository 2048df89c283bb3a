"""Where the specification and the tables beside it are: the `.tla` and `.toml` files that the checkers read."""

from __future__ import annotations

from pathlib import Path
from typing import Final


def specification_folder() -> Path:
    """The folder of the `.tla` and `.toml` files: inside of this package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "specification"
    return installed if installed.is_dir() else package.parent


FOLDER: Final = specification_folder()
