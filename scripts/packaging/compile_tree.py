"""Compiles every module of a folder; run by Python 3.10 itself: `python3.10 compile_tree.py FOLDER`.

The folder is read-only on SCF, so what is not compiled here would be compiled anew at each cold start. The
bytecode is marked 'unchecked hash' (PEP 552): Python then never compares it with the source, whose time no
zip tool can be trusted to keep.

The same sources give the same bytes. Needed for that: PYTHONHASHSEED=0, no site-packages (-S), one process,
sorted order, and paths relative to the folder; Python puts the true path in when it loads a module.
"""

import importlib.util
import marshal
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

UNCHECKED_HASH = (1).to_bytes(4, "little")
# Hashed by value, thus alike in each process. None is hashed by its address in Python 3.10, so the order of a
# set that holds it can differ from run to run, and does from one build of Python 3.10 to another. From 3.11
# on marshal sorts sets itself (https://bugs.python.org/issue37596).
HASHED_BY_VALUE = (bool, bytes, complex, float, int, str)


def compile_tree(folder: Path) -> None:
    """Write the .pyc of every .py below `folder`."""
    os.chdir(folder)
    for path in sorted(Path().rglob("*.py")):
        source = path.read_bytes()
        code = compile(source, str(path), "exec", dont_inherit=True)
        target = Path(importlib.util.cache_from_source(str(path)))
        target.parent.mkdir(exist_ok=True)
        digest = importlib.util.source_hash(source)
        target.write_bytes(importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + digest + dump(code))


def dump(code: CodeType) -> bytes:
    """Return `code` in the format of a .pyc, the same bytes however the sets in it happen to be ordered."""
    unordered = list(_sets_without_order(code))
    if not unordered:
        return marshal.dumps(code)
    # Version 2 of the format has no references between parts, so a part can be replaced. Without references
    # a file loads a little more slowly, hence only where it must be.
    data = marshal.dumps(code, 2)
    for members in unordered:
        ordered = b"".join(sorted(marshal.dumps(member, 2) for member in members))
        data = data.replace(marshal.dumps(members, 2), b">" + len(members).to_bytes(4, "little") + ordered)
    return data


def _sets_without_order(code: CodeType) -> Iterator[frozenset[Any]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _sets_without_order(constant)
        elif isinstance(constant, frozenset) and not all(isinstance(m, HASHED_BY_VALUE) for m in constant):
            yield constant


if __name__ == "__main__":
    compile_tree(Path(sys.argv[1]))
