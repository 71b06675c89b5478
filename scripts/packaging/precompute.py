"""Writes handler/startup/precomputed.bin. Python 3.10 runs it: `python3.10 precompute.py FOLDER FILE`.

Imports every module below FOLDER, and keeps the regular expressions and the source texts of dataclasses that
are compiled meanwhile. Where the binary modules of the package do not load, because the build runs on another
platform, some are missing. The function then starts more slowly.
"""

# First of all only what compiles nothing, so that what the other modules compile is noticed.
import marshal
import re
import sys
from typing import Any

# As in handler/startup/precomputed.py; only tests run on a newer Python.
COMPILER = vars(re).get("sre_compile") or vars(re)["_compiler"]
PARSER = vars(COMPILER).get("sre_parse") or vars(COMPILER)["_parser"]

patterns: dict[tuple[object, int], bytes] = {}
sources: dict[str, bytes] = {}
_compile, _exec = COMPILER.compile, exec
# Version 2 of the format has no references, which depend on who else holds an object.
_VERSION = 2


def _pattern(pattern: object, flags: int = 0) -> re.Pattern[Any]:
    compiled: re.Pattern[Any] = _compile(pattern, flags)
    if isinstance(pattern, (str, bytes)) and not flags & re.DEBUG:
        code = COMPILER._code(PARSER.parse(pattern, flags), flags)  # noqa: SLF001  # there is no public access
        names: list[str | None] = [None] * (compiled.groups + 1)
        for name, number in compiled.groupindex.items():
            names[number] = name
        packed = b"".join(unit.to_bytes(4, sys.byteorder) for unit in code)
        groups = compiled.groups, dict(compiled.groupindex), tuple(names)
        patterns[pattern, int(flags)] = marshal.dumps((compiled.flags, packed, *groups), _VERSION)
    return compiled


def _source(source: str, *namespaces: dict[str, Any]) -> None:
    sources[source] = marshal.dumps(compile(source, "<string>", "exec"), _VERSION)
    _exec(source, *namespaces)


def main(folder: str, file: str) -> None:
    """Write the file."""
    COMPILER.compile = _pattern
    import dataclasses

    dataclasses.exec = _source  # type: ignore[attr-defined]  # found before the built-in function
    import contextlib
    import importlib
    import warnings
    from pathlib import Path

    warnings.simplefilter("ignore")
    sys.path[0] = folder
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in {".py", ".so"}:
            parts = path.relative_to(folder).with_name(path.name.partition(".")[0]).parts
            # Some need an optional dependency, or are binaries for another platform.
            with contextlib.suppress(ImportError):
                importlib.import_module(".".join(parts).removesuffix(".__init__"))
    from handler.startup.precomputed import TAG

    Path(file).write_bytes(TAG + marshal.dumps((patterns, sources), _VERSION))


if __name__ == "__main__":
    main(*sys.argv[1:])
