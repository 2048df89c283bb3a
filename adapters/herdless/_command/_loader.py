"""The user's own origin: `--load MODULE:CALLABLE`."""

from __future__ import annotations

import importlib
import inspect
import operator
import sys

from herdless._command._errors import CommandError, in_a_line
from herdless._command._origin import Source


def named_loader(argument: str, keys: int) -> Source:
    """The callable that the argument names. Raises CommandError where there is none."""
    module_name, colon, attribute = argument.partition(":")
    if not (module_name and colon and attribute):
        raise CommandError(f"--load {argument}: give MODULE:CALLABLE, as in shop.prices:load")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the console script's own directory stands there, not the user's
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise CommandError(f"--load {argument}: {module_name} does not import: {in_a_line(error)}") from error
    try:
        load = operator.attrgetter(attribute)(module)
    except AttributeError as error:
        raise CommandError(f"--load {argument}: {in_a_line(error)}") from error
    if not callable(load):
        raise CommandError(f"--load {argument}: is not callable but of type {type(load).__name__}")
    is_async = inspect.iscoroutinefunction(load) or inspect.iscoroutinefunction(type(load).__call__)
    names = tuple(f"key-{number:0{len(str(keys - 1))}}" for number in range(keys))
    return Source(argument, load, is_async, names, query_seconds=None)
