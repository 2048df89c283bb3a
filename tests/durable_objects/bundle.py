"""The file from which workerd reads Pyodide, made from the npm package `pyodide`.

In production workerd fetches this bundle by name; offline it reads `pyodide_dev.capnp.bin` from the directory given by
`--pyodide-bundle-disk-cache-dir`. It is one Cap'n Proto message `Bundle { modules :List(Module) }`, in one segment.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

BUNDLE_NAME: Final = "pyodide_dev.capnp.bin"

_INTERNAL: Final = 2
"""The module type that only the runtime itself may import."""
_SOURCE, _WASM, _DATA = 0, 1, 2
_MODULES: Final = (
    ("pyodideRuntime-internal:pyodide.asm", _SOURCE, "pyodide.asm.mjs"),
    ("pyodideRuntime-internal:pyodide.asm.wasm", _WASM, "pyodide.asm.wasm"),
    ("pyodideRuntime-internal:python_stdlib.zip", _DATA, "python_stdlib.zip"),
)
_WORD: Final = 8
_MODULE_DATA_WORDS: Final = 1
_MODULE_POINTERS: Final = 4

_IMPORT: Final = 'import { getRandomValues, newWasmModule } from "pyodide-internal:builtin_wrappers";\n'
_EXPORT: Final = "export default _createPyodideModule;"
_EDITS: Final = (
    ("new WebAssembly.Module", "newWasmModule"),
    ("crypto.getRandomValues(", "getRandomValues(Module, "),
    (_EXPORT, _EXPORT + "\nexport { _createPyodideModule };"),
)
"""What workerd expects of its own build of Pyodide: neither code generation nor entropy of its own."""


class BundleError(Exception):
    """The npm package is not what this was written for."""


def write_bundle(pyodide: Path, directory: Path) -> Path:
    """Write the bundle of the npm package in `pyodide` into `directory`. Raises BundleError if it does not fit."""
    modules = []
    for name, kind, file_name in _MODULES:
        body = (pyodide / file_name).read_bytes()
        modules.append((name, kind, _edited(body) if kind == _SOURCE else body))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / BUNDLE_NAME
    path.write_bytes(_message(modules))
    return path


def _edited(body: bytes) -> bytes:
    text = body.decode()
    for old, new in _EDITS:
        if old not in text:
            raise BundleError(f"pyodide.asm.mjs does not contain {old!r}")
        text = text.replace(old, new)
    return (_IMPORT + text).encode()


def _message(modules: list[tuple[str, int, bytes]]) -> bytes:
    module_words = _MODULE_DATA_WORDS + _MODULE_POINTERS
    list_words = len(modules) * module_words
    # Words 0 to 2: the root, its one pointer to the list, the list's tag. Then the modules, then what they point to.
    head = [
        _struct_pointer(0, 0, 1),
        _list_pointer(0, 7, list_words),
        _struct_pointer(len(modules), _MODULE_DATA_WORDS, _MODULE_POINTERS),
    ]
    bodies: list[bytes] = []
    position = len(head) + list_words
    for index, (name, kind, body) in enumerate(modules):
        head.append(struct.pack("<HHI", _INTERNAL, kind, 0))
        for pointer, content in enumerate((name.encode() + b"\0", body)):
            here = 3 + index * module_words + _MODULE_DATA_WORDS + pointer
            head.append(_list_pointer(position - here - 1, 2, len(content)))
            bodies.append(content + bytes(-len(content) % _WORD))
            position += len(bodies[-1]) // _WORD
        head += [bytes(_WORD)] * 2
    return struct.pack("<II", 0, position) + b"".join(head) + b"".join(bodies)


def _struct_pointer(offset: int, data_words: int, pointers: int) -> bytes:
    return struct.pack("<IHH", offset << 2, data_words, pointers)


def _list_pointer(offset: int, element_size: int, count: int) -> bytes:
    return struct.pack("<II", offset << 2 | 1, count << 3 | element_size)
