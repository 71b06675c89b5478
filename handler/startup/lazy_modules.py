"""Modules of the standard library that dependencies import, and that the first key pair does not need.

A placeholder stands in `sys.modules` for each of them, and loads the module when a name of it is read.
`vars`, `dir`, `find_spec` and assignment see only the placeholder, so list a module only if dependencies do
nothing but read its names. `importlib.util.LazyLoader` would be the standard library's own way, but two
threads must not use its modules at once, and finding them takes longer.
"""

from __future__ import annotations

import importlib
import sys
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MODULES = (
    "ast",
    "configparser",
    "locale",
    "mimetypes",
    "ntpath",
    "selectors",
    "shutil",
    "stringprep",
    "subprocess",
    "tokenize",
    "zipfile",
)
SUBMODULES = ("logging.handlers",)
"""To defer them loads their packages, which compiles regular expressions."""
_LOCK = Lock()


class Placeholder(ModuleType):
    """Stands for a module that is not loaded yet."""

    def __getattr__(self, name: str) -> object:
        """Return an attribute of the module, which is loaded for it."""
        return getattr(_loaded(self.__name__), name)


class NodeVisitor:
    """Stands for `ast.NodeVisitor`, from which `inspect` and pydantic derive classes that nobody uses."""

    def visit(self, node: object) -> object:
        """Do what `ast.NodeVisitor` does."""
        return _loaded("ast").NodeVisitor.visit(self, node)

    def generic_visit(self, node: object) -> object:
        """Do what `ast.NodeVisitor` does."""
        return _loaded("ast").NodeVisitor.generic_visit(self, node)


_BASES = {"ast": {"NodeVisitor": NodeVisitor}}
"""Module -> its classes from which dependencies derive others when they are imported."""


def _loaded(name: str) -> ModuleType:
    with _LOCK:  # not around the import, which has locks of its own
        if isinstance(sys.modules.get(name), Placeholder):
            del sys.modules[name]
    return importlib.import_module(name)


def defer(names: Iterable[str]) -> None:
    """Put a placeholder where no module is loaded yet."""
    for name in names:
        if name not in sys.modules:
            package, _, short = name.rpartition(".")
            sys.modules[name] = Placeholder(name)
            vars(sys.modules[name]).update(_BASES.get(name, {}))
            if package:
                # As the import of a submodule does.
                setattr(importlib.import_module(package), short, sys.modules[name])
