"""The build hook of the compiled wheel: mypyc over core and adapters, in one group.

It runs only where it is asked for, by `HATCH_BUILD_HOOKS_ENABLE=1 pip wheel .`, and never for an editable install. The
wheel has the sources beside what was compiled from them, so that type checkers and tracebacks show them.

mypyc compiles a copy of the sources, into which is written what only it needs; no line moves that a traceback can name:

- a constructor for each dataclass, since one that `dataclass` makes is run by the interpreter, and how it is pickled;
- a property for each class variable of a dataclass: mypyc 2.4 takes it for a field;
- a property for what follows from other attributes, where keeping it would make each entry larger;
- that users may derive from a class, or send its objects to another process;
- that an argument is any object, where the code itself says what is accepted: mypyc would refuse it in its own words,
  or make another number of it.
"""

from __future__ import annotations

import ast
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GROUP: Final = "herdless"
"""One group is one shared library, inside which calls are calls of C."""

ROOMS: Final = {"herdless_core": "core", "herdless": "adapters"}

INTERPRETED: Final = {
    "__init__": "nothing runs in it but imports",
    "__main__": "the command is not on the way of a lookup, nor are `instrument`, `testing` and `trace`",
    "instrument": "see above",
    "testing": "see above",
    "trace": "see above",
    "django": "it only says what is public",
    "codecs": "it calls what is compiled already",
    "durable_objects": "it runs in Pyodide, which has no compiled wheel",
    "_copies": "it goes through the fields of foreign exceptions, as only Python can",
    "_frames": "compiled code has no frames of which others could be made",
    "invariants": "the checkers read it",
    "_duties": "a part of these",
    "_plain": "only durable_objects and dumps use it",
    "_records": "a dump is not on the way of a lookup",
    "table": "only checkers and documents read it",
    "_bulk": "it makes few calls for many keys",
    "_asyncio_bulk": "as _bulk",
    "_threads_bulk": "as _bulk",
    "_trio_bulk": "as _bulk",
    "_call": "keys are tuples that know their hash, and mypyc has no class derived from tuple",
    "_daemons": "mypyc has no class derived from partial",
    "_decorated": "mypyc has no generic protocol; and type checkers alone read it",
    "_decorator": "what takes the place of a function is bound to instances as only Python can",
    "_errors": "mypyc has no class with two bases; and users may derive from these",
    "_http": "it only makes texts",
    "_fork": "what is referred to weakly must be interpreted",
    "_instances": "mypyc has no class derived from weakref.ref or dict",
    "_methods": "mypyc has no class derived from partial",
    "_words": "they hang on interpreted functions",
    "_known": "the same",
    "_room": "what is compiled takes no frame of Python's",
    "_lazily": "it is run once, at an import",
    "_log": "it works after failures",
    "_lookup": "mypyc has no generic dataclass",
    "_previous": "mypyc has no generic dataclass; and it asks functions for their signatures",
    "_primitives": "a scheduler puts its own parts there",
    "_shift": "only the checkers use it",
    "_weighing": "what weighs values is foreign code",
    "_workers": "beside starting a thread it costs nothing",
}
"""The modules that are not compiled, and why."""

INHERITABLE: Final = {
    "_orders.Orders",
    "_section.Section",
    "_reports.Reports",
    "_contents.Contents",
    "adapter.BaseCache",
    "_running.RunningLoad",
    "_asyncio_loads.AsyncioLoads",
    "_asyncio_waits.AsyncioWaits",
    "_threads_loads.ThreadsLoads",
    "_threads_waits.ThreadsWaits",
    "_trio_loads.TrioLoads",
}
"""The classes from which adapters of other people derive (docs/how-to/write-an-adapter.md), and durable_objects, with
all their bases, as mypyc looks at each for itself. And those whose constructor is called by name, with `**`: of any
other class mypyc 2.4 makes one that does nothing when it is called so.
"""

SERIALIZABLE: Final = {"_policy.Policy", "_loaded.Loaded"}
"""The classes, beside the dataclasses, whose objects users may copy or send to another process."""

JUDGED: Final = {
    "_policy.Policy": {"early_refresh", "jitter", "max_waiters"},
    "_loaded.Loaded": {"keep", "weight"},
    "_keyspace.Keyspace": {"maxsize", "maxweight"},
    "adapter.BaseCache": {"finish_unwatched", "maxsize", "maxweight", "name", "previous", "tag"},
    "asyncio.Cache": {"batch_size"},
    "_threads_waits.ThreadsWaits": {"timeout"},
    "threads.Cache": {"batch_size", "timeout"},
    "trio.Cache": {"batch_size"},
    **{f"{runtime}.cached": {"function", "per_instance"} for runtime in ("asyncio", "threads", "trio")},
}
"""The arguments of which their class or function says itself what is accepted."""


DERIVED: Final = {
    "_states.Fresh": {
        "hit_until": "LONG_AGO if isinstance(self.value, Failure) else "
        "min(self.fresh_until, self.refresh_at if self.flight is None else self.flight.due_at)"
    }
}
"""Attributes by class, and what the invariant WellFormed says that they are. Computing this one costs C a comparison or
two, and keeping it 16 bytes for each entry."""


class CompiledWheel(BuildHookInterface[BuilderConfig]):
    """Puts the compiled modules into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what is to be in the wheel and what the wheel is for."""
        if version == "editable":
            return
        self._stage: Path = Path(tempfile.mkdtemp(prefix="herdless-"))
        modules = list(stage(Path(self.root), self._stage))
        for built in compiled(self._stage, modules):
            build_data["force_include"][str(self._stage / built)] = str(built)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is written: the copy is needed no more."""
        if version != "editable":
            shutil.rmtree(self._stage)


def stage(root: Path, target: Path) -> Iterator[Path]:
    """Copy the packages to `target`; yields the modules to compile, as paths in there."""
    for package, room in ROOMS.items():
        shutil.copytree(root / room / package, target / package)
        for path in sorted((target / package).glob("*.py")):
            if path.stem not in INTERPRETED:
                source = path.read_text(encoding="utf-8")
                path.write_text(prepared(source, path.stem), encoding="utf-8")
                yield path.relative_to(target)


def compiled(folder: Path, modules: list[Path]) -> list[Path]:
    """Compile the modules in `folder`; returns the shared libraries, as paths in there."""
    from mypyc.build import include_dir, mypycify
    from setuptools import Distribution  # type: ignore[import-untyped]  # it has no types, and is needed here alone

    # The project's settings are for checking; here trio may not even be installed.
    options = ["--config-file=", "--cache-dir=/dev/null", "--ignore-missing-imports"]
    with contextlib.chdir(folder):
        extensions = mypycify([*options, *map(str, modules)], group_name=GROUP, debug_level="0")
        for source in {source for extension in extensions for source in extension.sources}:
            path = Path(source)
            generated = without_weak_references(path.read_text(encoding="utf-8"))
            path.write_text(throwing_one_argument(generated, Path(include_dir())), encoding="utf-8")
        command = Distribution({"name": GROUP, "ext_modules": extensions}).get_command_obj("build_ext")
        command.inplace = True
        command.ensure_finalized()
        command.run()
        return [Path(command.get_ext_filename(extension.name)) for extension in extensions]


def without_weak_references(generated: str) -> str:
    """Make a weak reference to a compiled object a TypeError.

    With Python 3.12 and later it is one anyway. Before, mypyc makes room for weak references in a class with a base in
    Python, generic ones included, and does not clear them when the object goes: they then lead to freed memory.
    """
    return "".join(line for line in generated.splitlines(keepends=True) if ".tp_weaklistoffset = " not in line)


def throwing_one_argument(generated: str, runtime: Path) -> str:
    """Throw an exception into what is awaited as Python 3.12 wants it, which deprecates the three arguments of mypyc
    2.4: where warnings are errors, a cancelled caller would get that one. Raises ValueError where mypyc does otherwise.
    """
    file, old = "misc_ops.c", "PyObject_CallFunctionObjArgs(_m, type, value, traceback, NULL)"
    text = (runtime / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"the build hook expects one {old} in mypyc's {file}, not {text.count(old)}")
    return generated.replace(f"#include <{file}>", text.replace(old, "PyObject_CallOneArg(_m, value)"))


def prepared(source: str, module: str) -> str:
    """The source with what only mypyc needs. Raises ValueError where it is not as this hook knows it."""
    lines = source.split("\n")
    tree = ast.parse(source)
    classes = {f"{module}.{node.name}": node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            widen_arguments(lines, node, JUDGED.get(f"{module}.{node.name}", set()))
    if classes.keys() & (INHERITABLE | SERIALIZABLE):
        future = next(node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__")
        lines[future.lineno - 1] += "; MYPY = False"  # the name by which mypy knows what is meant for it alone
        fill(lines, future.lineno, "if MYPY: from mypy_extensions import mypyc_attr")
    for name, node in reversed(classes.items()):  # from below, so that the numbers of the lines above stay true
        if "dataclass(slots=True)" in map(ast.unparse, node.decorator_list):
            derived = DERIVED.get(name, {})
            write_methods(lines, node, set(derived))
            write_properties(lines, node, derived)
        if name in SERIALIZABLE:
            remove_finals(lines, node)
            # Both: mypyc 2.4 would not call the constructor of a class that is serializable alone.
            write_attributes(lines, node, "serializable", "allow_interpreted_subclasses")
        if name in INHERITABLE:
            write_attributes(lines, node, "allow_interpreted_subclasses")
    return "\n".join(lines)


def widen_arguments(lines: list[str], node: ast.ClassDef | ast.FunctionDef, names: set[str]) -> None:
    """Make these arguments, of the function or of all the class's methods, any object."""
    for argument in ast.walk(node):
        if isinstance(argument, ast.arg) and argument.arg in names and argument.annotation is not None:
            at, start, end = argument.lineno - 1, argument.annotation.col_offset, argument.end_col_offset
            lines[at] = lines[at][:start] + "object" + lines[at][end:]


def remove_finals(lines: list[str], node: ast.ClassDef) -> None:
    """Let the attributes be set from outside, as unpickling does."""
    for statement in ast.walk(node):
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.annotation) == "Final":
            at, end = statement.lineno - 1, statement.annotation.end_col_offset
            lines[at] = lines[at][: statement.target.end_col_offset] + lines[at][end:]


def write_attributes(lines: list[str], node: ast.ClassDef, *attributes: str) -> None:
    """Write attributes of mypyc above the class."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    fill(lines, first - 2, f"@mypyc_attr({', '.join(f'{attribute}=True' for attribute in attributes)})")


def write_methods(lines: list[str], node: ast.ClassDef, derived: set[str]) -> None:
    """Write a dataclass's constructor, and how it is pickled, into the two blank lines below it. The constructor takes
    what is derived too, and does not keep it.
    """
    fields = {name: (kind, value) for name, kind, value in annotated(node) if not kind.startswith("ClassVar")}
    arguments = "".join(
        f", {name}: {kind}" + ("" if value is None else f" = {ast.unparse(value)}")
        for name, (kind, value) in fields.items()
    )
    body = "; ".join(f"self.{name} = {name}" for name in fields if name not in derived) or "pass"
    values = "".join(f"self.{name}, " for name in fields)
    end = node.end_lineno or 0
    fill(lines, end, f"    def __init__(self{arguments}) -> None: {body}")
    fill(lines, end + 1, f"    def __reduce__(self) -> tuple[object, ...]: return ({node.name}, ({values}))")


def write_properties(lines: list[str], node: ast.ClassDef, derived: dict[str, str]) -> None:
    """Write properties in the place of the class variables of a dataclass, and of what is derived. Lines below them
    move. A field's default is the constructor's alone: mypyc would take the field for a constant of the class.
    """
    for statement in reversed(node.body):
        match statement:
            case ast.AnnAssign(ast.Name(), ast.Subscript(ast.Name("Final"))) if statement.value is not None:
                at = statement.lineno - 1
                lines[at] = lines[at][: statement.annotation.end_col_offset]
                continue
            case ast.AnnAssign(ast.Name(name), ast.Subscript(ast.Name("ClassVar"), kind), ast.expr() as value):
                told = ast.unparse(value)
            case ast.AnnAssign(ast.Name(name), ast.Subscript(ast.Name("Final"), kind)) if name in derived:
                told = derived[name]
            case _:
                continue
        getter = f"    def {name}(self) -> {ast.unparse(kind)}: return {told}"
        lines[statement.lineno - 1 : statement.lineno] = ["    @property", getter]


def annotated(node: ast.ClassDef) -> Iterator[tuple[str, str, ast.expr | None]]:
    """Name, type and value of what a class body annotates."""
    for statement in node.body:
        match statement:
            case ast.AnnAssign(ast.Name(name), ast.Subscript(ast.Name("Final"), kind) | kind, value=value):
                yield name, ast.unparse(kind), value
            case _:
                pass


def fill(lines: list[str], at: int, text: str) -> None:
    """Write the text into a blank line, so that no other moves. Raises ValueError where the line is not blank."""
    if lines[at].strip():
        raise ValueError(f"the build hook expects a blank line, not {lines[at]!r}")
    lines[at] = text
