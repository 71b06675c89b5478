"""Compiles every module of a folder. Python 3.10 runs it: `python3.10 compile_tree.py FOLDER OWN...`.

The folder is read-only on SCF, so a module without bytecode would be compiled again at each cold start. The
bytecode is marked 'unchecked hash' (PEP 552), so Python never compares it with the time stamp of its source,
which zip tools do not keep reliably.

The same sources give the same bytes. That needs PYTHONHASHSEED=0, no site-packages (-S), one process, sorted
order, and paths relative to the folder. Python inserts the true path when it loads a module.

Modules below other names than OWN belong to dependencies. They are compiled without what only readers and
type checkers use; docs/performance.md says what that gives.
"""

import ast
import importlib.util
import marshal
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

Documented = TypeVar("Documented", ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

UNCHECKED_HASH = (1).to_bytes(4, "little")
# These hash by value, so their hash is the same in each process. Python 3.10 hashes None by its address, so
# the order of a set with None in it differs from run to run, and between builds of Python 3.10. From 3.11
# on, marshal sorts sets itself (https://bugs.python.org/issue37596).
HASHED_BY_VALUE = (bool, bytes, complex, float, int, str)
# Modules that describe their data to type checkers by classes derived from TypedDict. Nothing reads their
# fields at run time, and to define the 88 classes of the second one takes 4 % of a start.
TYPED_DICTS = ("pydantic/fields.py", "pydantic_core/core_schema.py")


def compile_tree(folder: Path, own: Collection[str]) -> None:
    """Write the .pyc of every .py below `folder`."""
    os.chdir(folder)
    for path in sorted(Path().rglob("*.py")):
        source = path.read_bytes()
        tree = ast.parse(source, str(path))
        if path.parts[0] not in own:
            tree = ast.fix_missing_locations(Slimmer(path.as_posix()).visit(tree))
        code = compile(tree, str(path), "exec", dont_inherit=True)
        target = Path(importlib.util.cache_from_source(str(path)))
        target.parent.mkdir(exist_ok=True)
        digest = importlib.util.source_hash(source)
        target.write_bytes(importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + digest + dump(code))


class Slimmer(ast.NodeTransformer):
    """Removes docstrings, which are a quarter of the bytecode, and the fields of TYPED_DICTS."""

    def __init__(self, path: str) -> None:
        self._path = path

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Remove the docstring."""
        return self._without_docstring(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Remove the docstring."""
        return self._without_docstring(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        """Remove the docstring."""
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """Remove the docstring, and the fields of a TypedDict."""
        if self._path in TYPED_DICTS and any(
            isinstance(b, ast.Name) and b.id == "TypedDict" for b in node.bases
        ):
            node.body = [ast.Pass()]
        if node.decorator_list and ast.get_docstring(node):
            # A dataclass without a docstring writes one, for which it imports inspect and analyses itself.
            node.body[0] = ast.Expr(ast.Constant("-"))
            self.generic_visit(node)
            return node
        return self._without_docstring(node)

    def _without_docstring(self, node: Documented) -> Documented:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        self.generic_visit(node)
        return node


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
    compile_tree(Path(sys.argv[1]), sys.argv[2:])
