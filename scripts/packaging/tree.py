"""Fills the folder that becomes the zip."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from scripts.packaging.dependencies import FOR_REDIS, Distribution, install_dependencies
from scripts.packaging.errors import PackagingError
from scripts.policy_file import compile_policy

EXTRAS = ("openpgp", "redis")
"""What is included on request."""
OWN = frozenset({"handler", "index.py"})
"""The top-level names of this project's own code. It keeps its sources for tracebacks."""

# Any other kind of file in handler/ stops the build: either it is a stray, or it belongs on this list.
HANDLER_SUFFIXES = frozenset({".css", ".html", ".ico", ".js", ".json", ".png", ".py", ".svg"})


def lay_out(
    root: Path, tree: Path, *, policy: Path, extras: frozenset[str], python310: Path | None
) -> list[Distribution]:
    """Fill the empty folder `tree` with everything that is deployed, and return the dependencies in it.

    The file `policy` is checked and becomes handler/policy.json. `extras` are some of EXTRAS. Without
    `python310` there is no bytecode, and the dependencies keep their sources.

    Raises PackagingError, PolicyUnusable.
    """
    requirements = root / "requirements" / ("openpgp.txt" if "openpgp" in extras else "function.txt")
    _copy_handler(root / "handler", tree)
    compile_policy(
        policy,
        tree / "handler" / "policy.json",
        with_openpgp="openpgp" in extras,
        shared_store="redis" in extras,  # on SCF no other store is
    )
    without = frozenset() if "redis" in extras else FOR_REDIS
    distributions = install_dependencies(requirements, tree, without=without)
    if python310:
        compile_modules(tree, python310)
        precompute(tree, python310)
        drop_sources_of_dependencies(tree)
    return distributions


def compile_modules(tree: Path, python310: Path) -> None:
    """Write bytecode by `python310` beside every module below `tree`; raise PackagingError."""
    _run(python310, "compile_tree.py", tree, *sorted(OWN))


def precompute(tree: Path, python310: Path) -> None:
    """Write what a start on `python310` reads instead of working it out; raise PackagingError."""
    _run(python310, "precompute.py", tree, tree / "handler" / "startup" / "precomputed.bin")


def _run(python310: Path, program: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [python310, "-S", "-B", Path(__file__).with_name(program), *arguments],
        env={"PYTHONHASHSEED": "0"},  # see compile_tree; and no other variables
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PackagingError(f"{python310} could not run {program}:\n{done.stderr.strip()}")


def drop_sources_of_dependencies(tree: Path) -> None:
    """Replace the sources of dependencies by their bytecode, which makes the package a tenth smaller.

    Python imports NAME.pyc if there is no NAME.py. The package does not run on fewer Pythons than before:
    pydantic_core is built for CPython 3.10 only, and all releases of 3.10 share one bytecode format.
    """
    for source in sorted(tree.rglob("*.py")):
        path = source.relative_to(tree)
        if path.parts[0] not in OWN:
            bytecode = source.parent / "__pycache__" / f"{source.stem}.cpython-310.pyc"
            bytecode.rename(source.with_suffix(".pyc"))
            source.unlink()


def _copy_handler(handler: Path, tree: Path) -> None:
    for source in sorted(handler.rglob("*")):
        path = source.relative_to(handler.parent)
        if source.is_dir() or "__pycache__" in path.parts:
            continue
        if source.suffix not in HANDLER_SUFFIXES:
            raise PackagingError(f"{path} is not a kind of file that is deployed")
        # SCF looks for the module of 'index.main_handler' at the root of the zip and nowhere else.
        # https://cloud.tencent.com/document/product/583/40324
        target = tree / (source.name if path.as_posix() == "handler/index.py" else path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    if not (tree / "index.py").is_file():
        raise PackagingError("handler/index.py is missing")
