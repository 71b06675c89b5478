"""Modules of the standard library that dependencies import, and that the first key pair does not need.

A placeholder stands in `sys.modules` for each of them, and loads the module when a name of it is read.
`vars`, `dir`, `find_spec` and assignment see only the placeholder, so do not list a module with which a
dependency does anything but read its names. `importlib.util.LazyLoader` would be the standard library's own
way, but its modules must not be used by two threads at once, and finding them takes longer.
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
        with _LOCK:  # not around the import, which has locks of its own
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def defer(names: Iterable[str]) -> None:
    """Put a placeholder where no module is loaded yet."""
    for name in names:
        if name not in sys.modules:
            package, _, short = name.rpartition(".")
            sys.modules[name] = Placeholder(name)
            if package:
                # As the import of a submodule does.
                setattr(importlib.import_module(package), short, sys.modules[name])
