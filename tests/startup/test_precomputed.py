"""What the build compiled is used for exactly the texts that it was compiled from, until the first answer."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from handler.startup.precomputed import TAG, Precomputed

SRE: Any = vars(re).get("sre_compile") or vars(re)["_compiler"]
PROGRAM = Path(__file__).parents[2] / "scripts" / "packaging" / "precompute.py"
MODULE = """
import dataclasses, re
WORD = re.compile("(?P<first>[a-z])[0-9]+(z)?", re.IGNORECASE)
BYTES = re.compile(b"x{2}")
@dataclasses.dataclass(order=True)
class Point:
    left: int
    right: int = 2
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (folder / "module.py").write_text(MODULE)
    (folder / "broken.py").write_text("import is_not_installed")
    startup = folder / "handler" / "startup"
    startup.mkdir(parents=True)
    (startup / "precomputed.py").write_text(
        Path(sys.modules["handler.startup.precomputed"].__file__ or "").read_text()
    )
    made = folder / "precomputed.bin"
    subprocess.run([sys.executable, "-S", "-B", PROGRAM, folder, made], check=True)
    return made


def test_it_is_used_until_the_end(file: Path) -> None:
    precomputed = Precomputed(str(file))
    compile_, exec_ = SRE.compile, exec
    precomputed.begin()
    try:
        assert SRE.compile is not compile_
        found = SRE.compile("(?P<first>[a-z])[0-9]+(z)?", re.IGNORECASE.value)
        ascii_only = SRE.compile("(?P<first>[a-z])[0-9]+(z)?", re.ASCII.value)
        of_bytes = SRE.compile(b"x{2}")
        namespace: dict[str, type] = {}
        exec_(MODULE, namespace)
        unknown = dataclasses.make_dataclass("unknown", ["only_here"])
    finally:
        precomputed.end()
    assert SRE.compile is compile_
    assert not hasattr(dataclasses, "exec")
    assert found == compile_("(?P<first>[a-z])[0-9]+(z)?", re.IGNORECASE.value)
    assert (found.groups, dict(found.groupindex), found.flags) == (
        2,
        {"first": 1},
        re.IGNORECASE | re.UNICODE,
    )
    assert found.fullmatch("A12z").groups() == ("A", "z")
    assert not ascii_only.fullmatch("A12z")
    assert of_bytes.fullmatch(b"xx")
    assert namespace["Point"](1) < namespace["Point"](1, 3)
    assert unknown(3).only_here == 3
    precomputed.end()


def test_a_start_does_not_parse_what_is_in_it(file: Path) -> None:
    program = f"""
import re
from handler.startup.precomputed import Precomputed
precomputed = Precomputed({str(file)!r})
precomputed.begin()
compiler = vars(re).get('sre_compile') or re._compiler
(vars(compiler).get('sre_parse') or compiler._parser).parse = None
exec({MODULE!r})
assert WORD.fullmatch("a1") and Point(1) == Point(1, 2)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PROGRAM.parents[2])


def test_of_another_python_nothing_is_used(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(file.read_bytes().replace(TAG, b"cpython-399 1\n", 1))
    compile_ = SRE.compile
    for path in (other, tmp_path / "there is none"):
        precomputed = Precomputed(str(path))
        precomputed.begin()
        assert SRE.compile is compile_
        precomputed.end()
