"""Builds the site into build/site, or shows it.

    python -m docs.site            builds; the exit status is 1 where a page or a link is wrong
    python -m docs.site --serve    builds, and serves it on http://127.0.0.1:8000 until it is interrupted

Needs the extra `docs`, and npm for the first time.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from docs.site import vendored

CONFIG: Final = Path(__file__).with_name("mkdocs.yml")
BUILT: Final = Path(__file__).parents[2] / "build" / "site"


def build_site(target: Path) -> None:
    """Build the site into a folder. Raises Abort where a page or a link is wrong, Unavailable."""
    vendored.installed()  # before the site that is there is cleared away
    config = load_config(str(CONFIG), site_dir=str(target))
    config.plugins.on_startup(command="build", dirty=False)
    try:
        build(config)
    finally:
        config.plugins.on_shutdown()


def serve(folder: Path, port: int = 8000) -> None:
    """Serve a folder to this machine until it is interrupted."""
    with ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def main(arguments: Sequence[str]) -> int:
    """The exit status: 1 where a page or a link is wrong, 2 for what is not accepted or cannot be had."""
    if arguments not in ([], ["--serve"]):
        sys.stderr.write(f"usage: python -m docs.site [--serve]; {' '.join(arguments)} is not accepted\n")
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        build_site(BUILT)
    except Abort as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except vendored.Unavailable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{BUILT}\n")
    if arguments:
        serve(BUILT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
