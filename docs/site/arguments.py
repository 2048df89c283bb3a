"""Docstrings name their arguments in lines of "name: what it is"; on a page these are the points of a list."""

from __future__ import annotations

import re
from typing import Any, Final

from griffe import Extension, Object

_ARGUMENT: Final = re.compile(r"^(\*{0,2}[a-z_]\w*(?:, [a-z_]\w*)*): (?=\S)", re.MULTILINE)


def as_list(docstring: str) -> str:
    """The docstring, with its paragraphs of arguments as lists."""
    paragraphs = re.split(r"\n\n(?!\s)", docstring)
    return "\n\n".join(_listed(each) if _ARGUMENT.match(each) else each for each in paragraphs)


def _listed(paragraph: str) -> str:
    return _ARGUMENT.sub(lambda found: f"- `{found[1]}`: ", paragraph)


class Arguments(Extension):
    """Applies it to all that is described."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring, which is then Markdown."""
        if obj.docstring is not None:
            obj.docstring.value = as_list(obj.docstring.value)
