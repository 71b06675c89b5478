"""What is deployed: built for real (pip, Python 3.10), then looked at and run on Python 3.10."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import cryptography
import pytest
from pysequoia import Tsk, decrypt

from scripts.packaging.__main__ import main
from scripts.packaging.authorities import add, spread
from scripts.packaging.bill_of_materials import write_bill
from scripts.packaging.compile_tree import TYPED_DICTS
from scripts.packaging.dependencies import (
    EXCLUDED,
    KEPT_SUFFIXES,
    REPLACED,
    is_needed,
    requirements_for_target,
)
from scripts.packaging.errors import PackagingError
from scripts.packaging.tree import HANDLER_SUFFIXES, OWN
from scripts.python310 import find_python310
from tests.support.emulator_process import running_emulator
from tests.support.function_process import clean_environment, function_command
from tests.support.function_under_test import REST, FunctionUnderTest
from tests.support.store_servers import running_redis62

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
FUNCTION_REQUIREMENTS = (ROOT / "requirements" / "function.txt").read_text("utf-8")
PYC_310 = b"\x6f\x0d\x0d\x0a"
POLICY = """
[callers.ci]
tc3 = true
recipients = ["age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"]
[[callers.ci.grants]]
names = ["ci_*"]
regions = ["ap-guangzhou"]
"""


def build(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.packaging", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def python310() -> Path:
    found = find_python310()
    if found is None:
        pytest.skip("no Python 3.10 here, which compiles the package")
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packaging")


@pytest.fixture(scope="session")
def policy(folder: Path) -> Path:
    path = folder / "policy.toml"
    path.write_text(POLICY, "utf-8")
    return path


@pytest.fixture(scope="session")
def built(folder: Path, policy: Path, python310: Path) -> subprocess.CompletedProcess[str]:
    done = build("--output", str(folder / "function.zip"), "--policy", str(policy), PYTHON310=str(python310))
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="session")
def package(built: subprocess.CompletedProcess[str], folder: Path) -> Iterator[zipfile.ZipFile]:
    assert built.returncode == 0
    with zipfile.ZipFile(folder / "function.zip") as archive:
        yield archive


@pytest.fixture(scope="session")
def unpacked(package: zipfile.ZipFile, folder: Path) -> Path:
    target = folder / "unpacked"
    package.extractall(target)
    return target


def run_on_scf_python(
    python310: Path, unpacked: Path, program: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    # -I -S: nothing of this machine or of the project's folder; -B: no bytecode is written, as on SCF.
    return subprocess.run(
        [python310, "-I", "-S", "-B", "-c", f"import sys; sys.path.insert(0, {str(unpacked)!r})\n{program}"],
        cwd=unpacked,
        env=environ or {},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_same_sources_give_the_same_bytes(
    package: zipfile.ZipFile, folder: Path, policy: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "another temporary folder"
    temporary.mkdir()
    again = tmp_path / "elsewhere" / "again.zip"

    done = build(
        "--output",
        str(again),
        "--policy",
        str(policy),
        TMPDIR=str(temporary),
        PYTHONHASHSEED="1234",
        TZ="Asia/Tokyo",
    )

    assert done.returncode == 0, done.stderr
    assert package.testzip() is None
    assert again.read_bytes() == (folder / "function.zip").read_bytes()
    assert again.with_suffix(".cdx.json").read_bytes() == (folder / "function.cdx.json").read_bytes()
    assert list(temporary.iterdir()) == []


def test_the_zip_holds_no_times_and_no_odd_permissions(package: zipfile.ZipFile) -> None:
    entries = package.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {stat.filemode(entry.external_attr >> 16) for entry in entries} == {"-rw-r--r--"}
    names = [entry.filename for entry in entries]
    assert names == sorted(set(names))


def test_the_zip_holds_the_handler_its_dependencies_and_nothing_else(package: zipfile.ZipFile) -> None:
    names = package.namelist()
    handler = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "handler").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    ours = {name for name in names if name.startswith("handler/") and not name.endswith(".pyc")}
    made = {"handler/policy.json", "handler/policy.index", "handler/startup/precomputed.bin"}
    assert ours == handler - {"handler/index.py"} | made
    assert package.read("index.py") == (ROOT / "handler" / "index.py").read_bytes()
    assert {name.split("/")[0] for name in names} == {
        "__pycache__",
        "_cffi_backend.cpython-310-x86_64-linux-gnu.so",
        "annotated_types",
        "certifi",
        "cryptography",
        "handler",
        "index.py",
        "joserfc",
        "jwt",
        "pydantic",
        "pydantic_core",
        "pyrage",
        "requests",
        "tencentcloud",
        "typing_extensions.pyc",
        "typing_inspection",
        "urllib3",
    }
    suffixes = {Path(name).suffix for name in names if not name.startswith("certifi/cacert/")}
    assert suffixes <= KEPT_SUFFIXES | HANDLER_SUFFIXES | {".bin", ".index", ".pyc"}
    assert {name.split("/")[0] for name in names if name.endswith(".py")} == OWN
    assert not [name for name in names for pattern in EXCLUDED if fnmatchcase(name, pattern)]


def test_the_bill_of_materials_is_that_of_the_zip(
    package: zipfile.ZipFile, folder: Path, python310: Path, unpacked: Path
) -> None:
    bill = json.loads((folder / "function.cdx.json").read_text("utf-8"))
    function = bill["metadata"]["component"]
    digest = hashlib.sha256((folder / "function.zip").read_bytes()).hexdigest()
    assert (bill["bomFormat"], bill["specVersion"], function["name"]) == (
        "CycloneDX",
        "1.6",
        "keypair-function",
    )
    assert function["hashes"] == [{"alg": "SHA-256", "content": digest}]

    kinds = {component["purl"].partition("/")[0] for component in bill["components"]}
    assert kinds == {"pkg:pypi", "pkg:npm"}
    libraries = [component for component in bill["components"] if component["purl"].startswith("pkg:pypi/")]
    located = [place["location"] for one in libraries for place in one["evidence"]["occurrences"]]
    assert sorted(located) == [
        name
        for name in package.namelist()
        if name.split("/")[0] not in OWN and name != "__pycache__/index.cpython-310.pyc"
    ]

    # The wheels are those of the requirements.
    pins = requirements_for_target(FUNCTION_REQUIREMENTS)
    for one in libraries:
        (pin,) = re.findall(rf"^{one['name']}=={re.escape(one['version'])} (.*)", pins, re.MULTILINE)
        assert f"--hash=sha256:{one['hashes'][0]['content']}" in pin

    # The versions are those that the modules state.
    versions = {one["name"]: one["version"] for one in bill["components"]}
    stating = ("cryptography", "jwt", "pydantic", "pydantic_core", "requests", "urllib3")
    program = f"import warnings; warnings.simplefilter('ignore')\nfor name in {stating}:\n"
    program += "    print(__import__(name).__version__)"
    done = run_on_scf_python(python310, unpacked, program)
    listed = ["pyjwt" if name == "jwt" else name.replace("_", "-") for name in stating]
    assert done.stdout.split() == [versions[name] for name in listed], done.stderr

    (script,) = (name for name in package.namelist() if re.search(r"static/app-\w+\.js$", name))
    assert f"oauth4webapi/v{versions['oauth4webapi']}" in package.read(script).decode()
    known = {function["bom-ref"], *(component["bom-ref"] for component in bill["components"])}
    assert {entry["ref"] for entry in bill["dependencies"]} == known
    depends_on = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    reached, left = set[str](), [function["bom-ref"]]
    while left:
        reached.add(left[-1])
        left += [ref for ref in depends_on[left.pop()] if ref not in reached]
    assert reached == known


def test_a_file_that_belongs_to_no_distribution_stops_the_build(tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("handler/order.py", "")
        archive.writestr("stray.py", "")
    with pytest.raises(PackagingError, match=r"^stray\.py belongs to no distribution$"):
        write_bill(ROOT, package, [])


def test_the_policy_is_packed_as_json(package: zipfile.ZipFile) -> None:
    packed = json.loads(package.read("handler/policy.json"))
    assert packed["callers"]["ci"]["grants"][0]["names"] == ["ci_*"]


def test_the_zip_is_no_larger_than_it_has_to_be(
    folder: Path, built: subprocess.CompletedProcess[str]
) -> None:
    """What it may grow by is in the description of the build; a larger one is a decision."""
    assert built.returncode == 0
    assert (folder / "function.zip").stat().st_size <= 9_360_000


def test_every_module_has_bytecode_that_python_310_never_checks(package: zipfile.ZipFile) -> None:
    names = set(package.namelist())
    modules = [name for name in names if name.endswith(".py")]
    own = {re.sub(r"([^/]+)\.py$", r"__pycache__/\1.cpython-310.pyc", name) for name in modules}
    # What is installed has no sources: Python imports its bytecode from the source's place.
    installed = {name for name in names if name.endswith(".pyc") and "__pycache__" not in name}
    assert len(modules) > 50
    assert len(installed) > 200
    assert {name for name in names if name.endswith(".pyc")} == own | installed
    for name in own | installed:
        bytecode = package.read(name)
        # PEP 552: magic, then flags (bit 0: by hash, bit 1: check the source)
        assert bytecode[:4] == PYC_310, name
        assert bytecode[4:8] == b"\x01\x00\x00\x00", name


def test_the_bytecode_is_that_of_the_sources(python310: Path, unpacked: Path) -> None:
    program = """
import importlib.util, pathlib
for source in pathlib.Path().rglob("*.py"):
    bytecode = pathlib.Path(importlib.util.cache_from_source(str(source))).read_bytes()
    if bytecode[8:16] != importlib.util.source_hash(source.read_bytes()):
        print(source)
"""
    done = run_on_scf_python(python310, unpacked, program)
    assert (done.stderr, done.stdout, done.returncode) == ("", "", 0)


IMPORT_EVERYTHING = """
import importlib, pathlib, warnings
warnings.simplefilter("ignore")
for file in sorted(pathlib.Path().rglob("*")):
    if file.suffix in {".py", ".pyc", ".so"} and file.parent.name != "__pycache__":
        module = ".".join([*file.parts[:-1], file.name.split(".")[0]]).removesuffix(".__init__")
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            print(module, "needs", error.name)
"""


def test_everything_that_is_left_imports(python310: Path, unpacked: Path) -> None:
    """Two modules of our own say themselves that something is not packed."""
    done = run_on_scf_python(python310, unpacked, IMPORT_EVERYTHING)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines() == [
        "handler.sealing.openpgp needs pysequoia",
        "handler.store.redis needs redis",
    ]


def test_the_dependencies_work_on_python_310(python310: Path, unpacked: Path) -> None:
    program = """
import warnings; warnings.simplefilter("error")
warnings.filterwarnings("ignore", "Unable to find acceptable character detection")  # as the function does
import pydantic, pyrage
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives import serialization
from tencentcloud.common import credential
from tencentcloud.common.common_client import CommonClient
import certifi, os, requests

class Model(pydantic.BaseModel):
    number: int
assert Model.model_validate({"number": "7"}).number == 7
key = rsa.generate_private_key(65537, 2048)
pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.NoEncryption())
identity = pyrage.x25519.Identity.generate()
assert pyrage.decrypt(pyrage.encrypt(pem, [identity.to_public()]), [identity]) == pem
AESGCM(bytes(32)).encrypt(bytes(12), b"", None)
CommonClient("cvm", "2017-03-12", credential.Credential("id", "key"), "ap-guangzhou")
outside = [m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)
    and "site-packages" in m.__file__]
assert not outside, outside
print(rsa.__cached__, Model.__module__)
"""
    done = run_on_scf_python(python310, unpacked, program)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.split()[0].endswith("/asymmetric/rsa.pyc")


def test_the_handler_imports_on_python_310(python310: Path, unpacked: Path) -> None:
    done = run_on_scf_python(python310, unpacked, "import index; print(callable(index.main_handler))")
    assert (done.stderr, done.stdout, done.returncode) == ("", "True\n", 0)


def seal_to(public: str) -> str:
    """Return a program that seals to a PGP key and prints the envelope, or why not."""
    return f"""
import time
from pydantic import SecretBytes
from handler.errors import RecipientRefused
from handler.sealing import Contents, prepare_sealer
try:
    envelope = prepare_sealer([{public!r}], now=time.time())
except RecipientRefused as refusal:
    print(refusal.problem.name)
else:
    print(envelope.seal(SecretBytes(b"the private key"), Contents("", "", "")))
"""


def test_only_a_package_with_openpgp_seals_to_a_pgp_key(
    python310: Path, unpacked: Path, policy: Path, tmp_path: Path
) -> None:
    owner = Tsk.generate("owner")
    program = seal_to(str(owner.extract_certificate()))
    without = run_on_scf_python(python310, unpacked, program)
    assert (without.stderr, without.stdout) == ("", "OPENPGP_NOT_INSTALLED\n")

    output = ["--output", str(tmp_path / "function.zip"), "--policy", str(policy)]
    done = build(*output, "--with", "openpgp")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "function.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    more = {path.name for path in (tmp_path / "unpacked").iterdir()} - {p.name for p in unpacked.iterdir()}
    assert more == {"pysequoia"}
    sealed = run_on_scf_python(python310, tmp_path / "unpacked", program)
    assert sealed.stderr == ""
    assert decrypt(sealed.stdout.encode(), decryptor=owner.decryptor()).bytes == b"the private key"


STORE_PROGRAM = """
from handler.scf.invocation import Clock
from handler.store import open_store
store = open_store({url!r}, Clock())
print(store.add("key", "value", 60), store.add("key", "other", 60), store.get("key"))
"""


def test_a_store_in_redis_packs_its_client_and_works(
    python310: Path, unpacked: Path, policy: Path, tmp_path: Path
) -> None:
    """Its client is packed without most of its modules, so a real server has to be spoken to."""
    with running_redis62() as server:
        program = STORE_PROGRAM.format(url=server.url)
        without = run_on_scf_python(python310, unpacked, program)
        assert "built without its client; build it with scripts/build --with redis" in without.stderr

        output = ["--output", str(tmp_path / "function.zip"), "--policy", str(policy)]
        done = build(*output, KEYPAIR_STORE="rediss://10.0.0.2")
        assert done.returncode == 0, done.stderr
        with zipfile.ZipFile(tmp_path / "function.zip") as archive:
            archive.extractall(tmp_path / "unpacked")
        more = {path.name for path in (tmp_path / "unpacked").iterdir()} - {
            p.name for p in unpacked.iterdir()
        }
        assert more == {"async_timeout", "redis"}
        done = run_on_scf_python(python310, tmp_path / "unpacked", program)
        assert (done.stderr, done.stdout) == ("", "True False value\n")
    done = run_on_scf_python(python310, tmp_path / "unpacked", IMPORT_EVERYTHING)
    assert (done.stderr, done.stdout) == ("", "handler.sealing.openpgp needs pysequoia\n")


def test_every_authority_of_certifi_is_where_openssl_looks_for_it(package: zipfile.ZipFile) -> None:
    names = [name for name in package.namelist() if name.startswith("certifi/cacert")]
    packed = [package.read(name).decode("ascii") for name in names]
    listed = Path(certifi.where()).read_text("ascii")
    assert len(packed) == listed.count("BEGIN CERTIFICATE") > 50
    assert [pem for pem in packed if pem not in listed] == []
    assert len(set(packed)) == len(packed)
    for name, pem in zip(names, packed, strict=True):
        digest = subprocess.run(
            ["openssl", "x509", "-noout", "-subject_hash"],
            input=pem, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        assert re.fullmatch(rf"certifi/cacert/{digest}\.0", name)


@pytest.mark.parametrize("damage", [("\n-----END", "\n ----END"), ("-----BEGIN", "-----BEGIN ")])
def test_authorities_that_cannot_be_read_stop_the_build(damage: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "bundle.pem").write_text(Path(certifi.where()).read_text("ascii").replace(*damage, 1))
    with pytest.raises(PackagingError, match="can be read"):
        spread(tmp_path / "bundle.pem", tmp_path / "folder")


def test_authorities_without_a_line_end_after_the_last_one(tmp_path: Path) -> None:
    text = Path(certifi.where()).read_text("ascii")
    (tmp_path / "bundle.pem").write_text(
        text.replace("END CERTIFICATE-----\n", "END CERTIFICATE----- \n").rstrip()
    )
    spread(tmp_path / "bundle.pem", tmp_path / "folder")
    assert len(list((tmp_path / "folder").iterdir())) == text.count("BEGIN CERTIFICATE")


def test_authorities_of_one_name_are_told_apart(tmp_path: Path) -> None:
    pem = Path(certifi.where()).read_text("ascii").partition("-----END CERTIFICATE-----\n")
    first, second = (add(tmp_path, "".join(pem[:2])) for _ in range(2))
    assert (first.suffix, second.suffix, first.stem) == (".0", ".1", second.stem)


DESCRIBE_PROGRAM = """
from handler.cloud.sdk import Api
from handler.scf.invocation import Clock, Credentials
credentials = Credentials({cloud.secret_id!r}, {cloud.secret_key!r}, {cloud.token!r} or None)
api = Api("cvm", "2017-03-12", {cloud.cvm_endpoint!r}, "ap-guangzhou", credentials, Clock())
print(api.call("DescribeKeyPairs", {{}}, 20))
"""


def test_a_package_speaks_to_a_cloud_that_an_authority_in_it_vouches_for(
    python310: Path, unpacked: Path, tmp_path: Path
) -> None:
    shutil.copytree(unpacked, tmp_path / "package")
    with running_emulator(tls=tmp_path / "tls") as emulator:
        program = DESCRIBE_PROGRAM.format(cloud=emulator)
        done = run_on_scf_python(python310, tmp_path / "package", program)
        assert done.stdout == "Failure(code='ClientNetworkError', sent=True, request_id='', message='')\n"
        assert emulator.state()["calls"] == {}

        add(tmp_path / "package/certifi/cacert", Path(emulator.info["authorityFile"]).read_text())
        done = run_on_scf_python(python310, tmp_path / "package", program)
        assert (done.stderr, "'KeyPairSet': []" in done.stdout) == ("", True), done.stdout
        assert emulator.state()["calls"] == {"DescribeKeyPairs": 1}


def test_a_misconfigured_package_says_so_when_it_starts(
    package: zipfile.ZipFile, tmp_path: Path, python310: Path
) -> None:
    """Its log begins with what is wrong, and `scripts/serve` ends with that."""
    del python310
    arguments = ("--emulator", "--info", str(tmp_path / "info"), "--package", str(package.filename))
    done = subprocess.run(
        function_command(*arguments),
        env=clean_environment({"KEYPAIR_HOSTS": "http://keys.example.com"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"\[ERROR] [^\n]+ KEYPAIR_HOSTS is malformed; [^\n]+\n", done.stderr)


def test_the_help_tells_what_may_be_packed_too() -> None:
    assert "--with {openpgp,redis}" in build("--help").stdout
    refused = build("--with", "nothing")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_bytecode_does_not_depend_on_the_order_of_a_set_that_holds_none(python310: Path) -> None:
    # 0, 8 and 16 want the same place in a set so small, so the order of entry shows; None's address would
    # show likewise, only not at will.
    program = """
import marshal, types
from compile_tree import dump
code = compile("def f(x): return x in {None, 0, 8, 16}", "sets.py", "exec")
function = next(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
dumped = set()
for members in ([None, 0, 8, 16], [16, 8, 0, None]):
    constants = tuple(frozenset(members) if isinstance(c, frozenset) else c for c in function.co_consts)
    dumped.add(dump(function.replace(co_consts=constants)))
print(len(dumped))
loaded = types.FunctionType(marshal.loads(dumped.pop()), {})
print([loaded(x) for x in (None, 0, 16, 1)])
"""
    done = run_on_scf_python(python310, ROOT / "scripts" / "packaging", program)
    assert (done.stderr, done.stdout) == ("", "1\n[True, True, True, False]\n")


def test_only_dependencies_lose_what_nobody_reads_at_run_time(python310: Path, unpacked: Path) -> None:
    program = """
import handler.settings, pydantic.types, urllib3.exceptions
from pydantic_core import core_schema
print(handler.settings.__doc__ is None, pydantic.types.__doc__, pydantic.types.conint.__doc__)
print(pydantic.types.Strict.__doc__, urllib3.exceptions.HTTPError.__doc__)
print(core_schema.StringSchema.__annotations__, core_schema.str_schema(min_length=1))
"""
    done = run_on_scf_python(python310, unpacked, program)
    assert (done.stderr, done.stdout) == (
        "",
        "False None None\n- None\n{} {'type': 'str', 'min_length': 1}\n",
    )


def test_a_start_compiles_hardly_anything(python310: Path, unpacked: Path) -> None:
    """Regular expressions and methods of dataclasses come from the file that the build wrote."""
    program = """
import dataclasses, sre_parse
compiled = []
parse = sre_parse.parse
sre_parse.parse = lambda text, flags=0: compiled.append(text) or parse(text, flags)
import index
with_file = len(compiled), "exec" in vars(dataclasses)
import tencentcloud.common.common_client, handler.issuance.issuer
answer = index.main_handler({}, {})
loaded = len(compiled)
import re; re.compile("not in the file, and not after the first answer")
print(with_file, loaded, len(compiled), "exec" in vars(dataclasses))
"""
    done = run_on_scf_python(python310, unpacked, program)
    assert done.stdout.splitlines()[-1] == "(0, True) 0 1 False", done.stderr


def test_what_is_deferred_is_imported_by_dependencies_and_not_used(
    python310: Path, unpacked: Path, function: FunctionUnderTest
) -> None:
    """What is loaded at each start costs more than it saves, and what nobody imports is no longer needed."""
    program = """
import json, sys
from handler.startup import lazy_modules
deferred = *lazy_modules.MODULES, *lazy_modules.SUBMODULES
if DEFER:
    is_right = lambda name: isinstance(sys.modules[name], lazy_modules.Placeholder)
else:
    is_right = lambda name: name in sys.modules
    lazy_modules.MODULES = lazy_modules.SUBMODULES = ()
import index
answer = index.main_handler(json.loads(EVENT), {"request_id": "r"})
print(answer["statusCode"], [name for name in deferred if not is_right(name)])
"""
    for defer in (True, False):
        event = json.dumps(function.signed(REST, timestamp=int(time.time())))
        filled = program.replace("DEFER", str(defer)).replace("EVENT", repr(event))
        done = run_on_scf_python(python310, unpacked, filled, function.environ)
        assert done.stdout.splitlines()[-1] == "201 []", done.stderr


def test_the_table_adds_up(built: subprocess.CompletedProcess[str], folder: Path) -> None:
    lines = built.stdout.splitlines()
    rows = [line.split() for line in lines[1:-2]]
    *parts, total = rows
    assert rows[0][0] == "cryptography"
    assert total[0] == "all"
    assert total[3] == "100.0%"
    for column in (1, 2):
        # Each row is rounded to 0.1 kB.
        assert sum(float(row[column]) for row in parts) == pytest.approx(
            float(total[column]), abs=len(parts) / 10
        )
    content = (folder / "function.zip").read_bytes()
    assert lines[-2].endswith(f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


def copy_of_the_project(
    tmp_path: Path, *, requirements: str = "", policy_name: str = "policy.toml", policy_text: str = POLICY
) -> Path:
    (tmp_path / "handler" / "web").mkdir(parents=True)
    (tmp_path / "handler" / "index.py").write_text("def main_handler(event, context): ...\n", "utf-8")
    (tmp_path / "handler" / "web" / "page.html").write_text("<!doctype html>", "utf-8")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "function.txt").write_text(requirements, "utf-8")
    (tmp_path / policy_name).write_text(policy_text, "utf-8")
    (tmp_path / "web").mkdir()
    for name in ("pyproject.toml", "web/package-lock.json"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def build_copy(project: Path, *arguments: str) -> int:
    return main(["--without-bytecode", *arguments], root=project, environment={})


def test_without_python_310_it_refuses_and_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copy_of_the_project(tmp_path)
    assert main([], root=project, environment={"PATH": str(tmp_path), "HOME": str(tmp_path)}) == 2
    refusal = capsys.readouterr().err
    assert "Python 3.10 is needed" in refusal
    assert "pyenv install 3.10" in refusal
    assert "--without-bytecode" in refusal
    assert not (project / "dist").exists()


def test_without_bytecode_needs_no_python_310(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_package = re.search(r"^annotated-types.*(\n .*)+", FUNCTION_REQUIREMENTS, re.MULTILINE)
    assert one_package
    project = copy_of_the_project(tmp_path, requirements=one_package[0])
    assert build_copy(project) == 0
    with zipfile.ZipFile(project / "dist" / "keypair-function.zip") as archive:
        assert archive.namelist() == [
            "annotated_types/__init__.py",
            "handler/policy.index",
            "handler/policy.json",
            "handler/web/page.html",
            "index.py",
        ]
    assert "100.0%" in capsys.readouterr().out


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pin = re.search(r"^(annotated-types==\S+)", FUNCTION_REQUIREMENTS, re.MULTILINE)
    assert pin
    project = copy_of_the_project(tmp_path, requirements=f"{pin[1]} \\\n    --hash=sha256:{'0' * 64}\n")
    assert build_copy(project) == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in capsys.readouterr().err
    assert not (project / "dist").exists()


def test_a_stray_file_in_the_handler_stops_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copy_of_the_project(tmp_path)
    (project / "handler" / "web" / "page.html.orig").touch()
    assert build_copy(project) == 1
    assert "handler/web/page.html.orig is not a kind of file that is deployed" in capsys.readouterr().err


def test_a_policy_that_the_function_would_refuse_is_not_packed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copy_of_the_project(tmp_path, policy_text=POLICY.replace('names = ["ci_*"]', ""))
    assert build_copy(project) == 1
    assert "policy.toml: callers.ci.grants" in capsys.readouterr().err
    assert not (project / "dist").exists()


def test_a_policy_with_which_the_function_would_not_start_is_not_packed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = '[[callers.ci.chat]]\nplatform = "slak"\ntenant = "T1"\nuser = "U1"\n'
    project = copy_of_the_project(tmp_path, policy_text=POLICY + chat)
    assert build_copy(project) == 1
    assert "policy.toml: callers: a chat table names no platform" in capsys.readouterr().err
    assert not (project / "dist").exists()


def test_a_missing_policy_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = copy_of_the_project(tmp_path)
    assert build_copy(project, "--policy", str(tmp_path / "mine.toml")) == 2
    assert f"There is no policy at {tmp_path / 'mine.toml'}" in capsys.readouterr().err


def test_the_example_policy_is_packed_with_a_loud_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copy_of_the_project(tmp_path, policy_name="policy.example.toml")
    # pip refuses an empty list, after the note; what is packed is shown above.
    build_copy(project)
    assert "FOR A TRIAL ONLY" in capsys.readouterr().err


def test_markers_are_those_of_scf_and_not_of_this_python() -> None:
    text = """\
# a comment
old==1 ; python_full_version < '3.11' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
new==2 ; python_version >= '3.11' \\
    --hash=sha256:cc
windows==3 ; sys_platform == 'win32' \\
    --hash=sha256:dd
plain==4 \\
    --hash=sha256:ee
"""
    assert requirements_for_target(text) == (
        "old==1 --hash=sha256:aa --hash=sha256:bb\nplain==4 --hash=sha256:ee\n"
    )


def test_only_what_runs_is_needed() -> None:
    assert is_needed("tencentcloud/common/common_client.py")
    assert is_needed("pydantic/main.py")
    for useless in ("pydantic/v1/main.py", "tencentcloud/common/http/request_async.py", "pydantic/main.pyi"):
        assert not is_needed(useless)


@pytest.mark.parametrize("pattern", sorted({*EXCLUDED, *REPLACED, *TYPED_DICTS}))
def test_no_exclusion_is_out_of_date(pattern: str) -> None:
    # The development environment has the very packages that are deployed.
    packages = Path(cryptography.__file__).parents[1]
    top = pattern.partition("/")[0]
    roots = [packages.parents[2] / "bin"] if top == "bin" else packages.glob(top)
    found = (path for root in roots for path in root.rglob("*") if path.is_file())
    base = packages.parents[2] if top == "bin" else packages
    assert any(fnmatchcase(path.relative_to(base).as_posix(), pattern) for path in found)


def test_python_310_is_asked_and_not_believed(python310: Path, tmp_path: Path) -> None:
    shim = tmp_path / "bin" / "python3.10"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'python3.10: command not found' >&2\nexit 127\n", "utf-8")
    shim.chmod(0o755)
    nowhere = {"PATH": str(shim.parent), "PYENV_ROOT": str(tmp_path), "HOME": str(tmp_path)}
    assert find_python310(nowhere) is None

    version = tmp_path / "versions" / "3.10.99" / "bin"
    version.mkdir(parents=True)
    (version / "python3.10").symlink_to(python310)
    in_pyenv = find_python310(nowhere)
    assert in_pyenv == version / "python3.10"
    assert find_python310(nowhere | {"PYTHON310": str(python310)}) == python310


def test_a_named_python_that_is_not_310_is_not_replaced_by_another(python310: Path, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho cpython 3 11 /usr/bin/python3.11\n", "utf-8")
    fake.chmod(0o755)
    assert find_python310({"PATH": str(python310.parent), "PYTHON310": str(fake)}) is None
