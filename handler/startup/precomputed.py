"""What Python works out anew at each start, read from a file that `scripts/build` has written.

Python keeps the bytecode of modules. It does not keep regular expressions, nor the methods that dataclasses
writes as text: a start compiles 150 and 190 of them, most in dependencies, which is a quarter of its work.
Both depend on nothing but their text. The build compiles them, and until the first answer `re` and
`dataclasses` find them here by their text. What is not in the file is compiled as ever.

The file is code, like bytecode: whoever could change it could change any module.
"""

from __future__ import annotations

import _sre  # type: ignore[import-not-found]  # not documented; TAG names a Python that has it
import marshal
import os
import re
import sys
import typing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE = os.path.join(os.path.dirname(__file__), "precomputed.bin")  # noqa: PTH118, PTH120  # pathlib is not loaded yet
TAG = f"{sys.implementation.cache_tag} {_sre.MAGIC}\n".encode()
"""Begins the file: the formats of bytecode and of regular expressions that this Python has."""


class Precomputed:
    """The content of a file, used between `begin` and `end`."""

    _compile: Callable[..., Any]

    def __init__(self, path: str = FILE) -> None:
        self._patterns: Mapping[tuple[object, int], bytes] = {}
        self._sources: Mapping[str, bytes] = {}
        try:
            with open(path, "rb") as file:  # noqa: PTH123  # as above
                if file.readline() == TAG:
                    # Not `marshal.load`, which calls the file some 3,600 times.
                    self._patterns, self._sources = marshal.loads(file.read())  # noqa: S302  # a part of the code
        except FileNotFoundError:
            pass  # as in a checkout

    def begin(self) -> None:
        """Let `re` and `dataclasses` look here first."""
        if self._patterns:
            compiler = _compiler()
            self._compile, compiler.compile = compiler.compile, self._pattern
            # Not at the top: it imports modules that compile patterns, and some that are deferred.
            import dataclasses

            # dataclasses finds it before the built-in function of this name.
            dataclasses.exec = self._exec  # type: ignore[attr-defined]  # as the comment says
            # typing compiles every annotation that is a string, and most are never evaluated. `eval` takes a
            # string as well.
            typing.compile = lambda text, *_: text  # type: ignore[attr-defined]  # as above

    def end(self) -> None:
        """Let them compile by themselves again."""
        if self._patterns:
            import dataclasses

            _compiler().compile = self._compile
            del dataclasses.exec, typing.compile  # type: ignore[attr-defined]  # as above
            self._patterns, self._sources = {}, {}

    def _pattern(self, pattern: Any, flags: int = 0) -> Any:  # noqa: ANN401  # as in sre_compile, which has no types
        found = self._patterns.get((pattern, flags))
        if found is None:
            return self._compile(pattern, flags)
        all_flags, code, *groups = marshal.loads(found)  # noqa: S302  # as above
        # The last step of sre_compile.compile. `_sre` checks the code.
        return _sre.compile(pattern, all_flags, memoryview(code).cast("I").tolist(), *groups)

    def _exec(self, source: Any, *namespaces: Any) -> None:  # noqa: ANN401  # as the built-in function
        found = self._sources.get(source)
        code = source if found is None else marshal.loads(found)  # noqa: S302  # as above
        exec(code, *namespaces)  # noqa: S102  # as dataclasses does


def _compiler() -> Any:  # noqa: ANN401  # a module
    """Return the module whose `compile` is behind all functions of `re`; Python 3.11 renamed it."""
    return vars(re).get("sre_compile") or vars(re)["_compiler"]
