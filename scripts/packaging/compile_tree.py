"""Compiles every module of a folder. Python 3.10 runs it: `python3.10 compile_tree.py FOLDER`.

The folder is read-only on SCF, so a module without bytecode would be compiled again at each cold start. The
bytecode is marked 'unchecked hash' (PEP 552), so Python never compares it with the time stamp of its source,
which zip tools do not keep reliably.

The same sources give the same bytes. That needs PYTHONHASHSEED=0, no site-packages (-S), one process, sorted
order, and paths relative to the folder. Python inserts the true path when it loads a module.
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
# These hash by value, so their hash is the same in each process. Python 3.10 hashes None by its address, so
# the order of a set with None in it differs from run to run, and between builds of Python 3.10. From 3.11
# on, marshal sorts sets itself (https://bugs.python.org/issue37596).
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
    """Return `code` in the format of a .pyc, with the same bytes whatever the order of its sets."""
    unordered = list(_sets_without_order(code))
    if not unordered:
        return marshal.dumps(code)
    # Version 2 of the format has no references between parts, so a part can be replaced. Without references,
    # a file loads a little more slowly, so this is used only where necessary.
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
