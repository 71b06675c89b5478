"""The repository's habits: what is pinned, what is imported, and what stands in no file."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from handler.chat.platforms.registry import PLATFORMS
from tests.support.function_process import clean_environment

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS: dict[str, list[str]] = PROJECT["dependency-groups"]
CLIENT: list[str] = PROJECT["project"]["dependencies"]
DEPLOYED, OPENPGP = GROUPS["function"], GROUPS["openpgp"]
REQUIREMENTS = {
    "function": DEPLOYED,
    "local": DEPLOYED + OPENPGP + CLIENT + GROUPS["local"],
    "openpgp": DEPLOYED + OPENPGP,
    "dev": DEPLOYED + OPENPGP + CLIENT + GROUPS["dev"],
    "tccli": GROUPS["tccli"],
    "fuzz": GROUPS["fuzz"],
    "mutants": GROUPS["mutants"],
}
"""The files in `requirements/` that `scripts/lock` makes, and what each is made from."""


def pins(name: str) -> dict[str, set[str]]:
    """Return the versions of each package in a requirements file; every line of it has to be understood."""
    lines = (
        (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    )
    found: dict[str, set[str]] = {}
    for line in lines:
        if line.startswith("#"):
            continue
        pin = re.fullmatch(
            r"([a-z0-9-]+)==([0-9][0-9a-z.]*) *(?:; [^;]+?)?((?: +--hash=sha256:[0-9a-f]{64})+)",
            line.rstrip(),
        )
        assert pin is not None, line[:80]
        found.setdefault(pin[1], set()).add(pin[2])
    return found


def test_the_requirements_files_are_these() -> None:
    assert {path.stem for path in (ROOT / "requirements").iterdir()} == set(REQUIREMENTS)


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_what_the_project_depends_on_is_pinned(name: str) -> None:
    """By version and hash and nothing else; no address, no option."""
    pinned = pins(name)
    for text in REQUIREMENTS[name]:
        requirement = Requirement(text)
        assert requirement.url is None
        versions = pinned[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), text


@pytest.mark.parametrize("name", ["local", "openpgp", "dev"])
def test_what_is_tested_is_what_is_deployed(name: str) -> None:
    function, other = pins("function"), pins(name)
    assert {package: other.get(package) for package in function} == function


def tracked() -> list[Path]:
    """Return the files of the repository, those that are not yet added among them."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


OF_A_MACHINE = re.compile(
    r"(?<![\w.}$-])/(?:home|Users|root|work|workspace)/"  # where somebody's files are
    r"|(?:py"
    r"pi|python"
    r"hosted)\.(?:org|io)|registry\.npm"
    r"js\.|mirrors?\.[a-z]+\.[a-z]|artifact[o]ry"
    r"|--(?:extra-)?index-url|(?:PIP|UV)_[A-Z_]*INDEX"
)
"""What differs from one machine to another. As patterns: this file is searched as well."""


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("cd /{}/main", "work"),
        ("cd /{}/somebody", "home"),
        ("https://pypi.{}/simple", "org"),
        ("https://mirrors.{}.example", "cloud"),
        ("pip install --index-{} x", "url"),
        ("PIP_{}_URL=x", "INDEX"),
    ],
)
def test_the_search_finds_what_it_is_for(text: str, word: str) -> None:
    assert OF_A_MACHINE.search(text.format(word))
    assert not OF_A_MACHINE.search(text)


def test_no_file_knows_a_machine_or_a_registry() -> None:
    found = []
    for path in tracked():
        if path.suffix == ".png":
            continue
        text = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in OF_A_MACHINE.finditer(text)]
        if len(ROOT.parts) > 2 and f"{ROOT}/" in text:
            found.append(f"{path.relative_to(ROOT)}: its own folder")
    assert found == []


def test_no_generated_or_secret_file_is_in_the_repository() -> None:
    names = [str(path.relative_to(ROOT)) for path in tracked()]
    assert [
        name
        for name in names
        if re.search(r"\.(pem|key|pyc|zip|sqlite|db|env)$|(^|/)id_|^policy\.toml$", name)
    ] == []


COMMANDS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_a_command_can_be_run_and_says_what_it_is(path: Path) -> None:
    assert os.access(path, os.X_OK)
    shebang, description = path.read_text(encoding="utf-8").splitlines()[:2]
    assert shebang == "#!/usr/bin/env bash"
    assert re.fullmatch(r"# [A-Z].{20,}", description)


def test_the_commands_are_these() -> None:
    assert [path.name for path in COMMANDS] == [
        "bench", "build", "demo", "deploy", "emulator", "fuzz", "keypair", "lock", "mutants", "openapi",
        "policy", "python", "release", "serve", "sweep", "test", "test-fresh", "tools", "verify-live", "web",
    ]  # fmt: skip


def test_the_changelog_has_a_place_for_what_comes() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"


PLATFORM_MODULES = {f"handler.chat.platforms.{name}" for name in PLATFORMS}


def test_the_chat_platforms_do_not_know_each_other() -> None:
    contracts = {contract["name"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]}
    contract = contracts["Chat platforms do not know each other"]
    assert (contract["type"], sorted(contract["modules"])) == ("independence", sorted(PLATFORM_MODULES))


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_audit_log_of_a_chat_platform_is_described(name: str) -> None:
    lines = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8").splitlines()
    (doors,) = [line for line in lines if line.startswith("| `door` |")]
    assert f"`{name}`" in doors


MEASURE = """
import json, sys
sys.modules["bcrypt"] = None  # the client's; cryptography loads it where it is installed
before = set(sys.modules)
import handler.index
new = set(sys.modules) - before
files = {name: getattr(sys.modules[name], "__file__", None) or "" for name in new}
packages = {name.partition(".")[0] for name, file in files.items() if "site-packages" in file}
print(json.dumps({"packages": sorted(packages), "modules": sorted(new)}))
"""


def test_a_cold_start_loads_no_more_than_it_needs() -> None:
    """The SDK, the stores and their clients are loaded on the path that needs them."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MEASURE],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = json.loads(done.stdout)
    allowed = ["annotated_types", "pydantic", "pydantic_core"]
    assert loaded["packages"] == [*allowed, "typing_extensions", "typing_inspection"]
    heavy = {
        "tencentcloud", "requests", "urllib3", "certifi", "redis", "sqlite3", "tomllib", "tomli",
        "asyncio", "http.client", "ssl", "yaml", "cryptography.x509", "cryptography.hazmat.asn1",
        "pyrage", "joserfc", "pysequoia", "jwt",
        *PLATFORM_MODULES, "handler.chat.platforms.wecom_callbacks", "xml",
        "handler.web.form",
        "handler.store.memory", "handler.store.sqlite", "handler.store.redis",
    }  # fmt: skip
    assert heavy & set(loaded["modules"]) == set()


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a module names anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            names.add(str(node.module))
    return {name.partition(".")[0] for name in names}


def test_what_is_deployed_imports_only_what_is_deployed() -> None:
    """Nothing of `scripts` or `tests`, under TYPE_CHECKING neither; some come with the SDK, with pydantic."""
    named = set[str]().union(*(imports(path) for path in (ROOT / "handler").rglob("*.py")))
    others = named - sys.stdlib_module_names
    assert others == {
        "handler",
        "certifi",
        "cryptography",
        "joserfc",
        "jwt",
        "pydantic",
        "pydantic_core",
        "pyrage",
        "pysequoia",
        "redis",
        "requests",
        "tencentcloud",
        "typing_extensions",
        "urllib3",
    }
