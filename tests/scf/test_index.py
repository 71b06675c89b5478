"""`index.main_handler`, with the environment of a process, as SCF calls it."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from handler import composition, index
from handler.application import log_fault
from handler.scf.invocation import DEFAULT_TIME_LIMIT, MAX_INVOCATION_SECONDS, Invocation
from tests.support.function_process import clean_environment
from tests.support.function_under_test import REST, V3, Answer, FunctionUnderTest, TestClock

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
MISCONFIGURED = {"title": "The function is not configured correctly.", "status": 503, "code": "misconfigured"}


@pytest.fixture
def container(function: FunctionUnderTest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load `index.py` again, as a new container does. Each call sets the environment of `function`."""
    for name in os.environ:
        if name.startswith(("KEYPAIR_", "TENCENTCLOUD_")):
            monkeypatch.delenv(name)
    module = load_index()
    for name, value in function.environ.items():
        monkeypatch.setenv(name, value)
    return module


def load_index() -> ModuleType:
    specification = importlib.util.spec_from_file_location("index", index.__file__)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def now(
    function: FunctionUnderTest,
    path: str,
    **how: Any,  # noqa: ANN401  # handed through
) -> dict[str, Any]:
    """Return a good event of the true time, which is what `main_handler` goes by."""
    return function.signed(path, timestamp=int(time.time()), **how)


def test_both_doors(
    container: ModuleType, function: FunctionUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, status in ((REST, 201), (V3, 200)):
        answer = Answer(
            container.main_handler(now(function, path), {"request_id": "r-1", "time_limit_in_ms": 15000})
        )
        assert (answer.status, answer.code) == (status, None)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(line["decision"], line["requestId"]) for line in lines] == [
            ("intent", "r-1"),
            ("issued", "r-1"),
        ]


def test_the_application_is_built_once(container: ModuleType, function: FunctionUnderTest) -> None:
    """What an earlier invocation has stored is known to the next one, even if the policy file has gone."""
    event = now(function, REST)
    first = container.main_handler(copy.deepcopy(event), None)
    function.policy_file.unlink()
    assert container.main_handler(copy.deepcopy(event), None) == first


def test_a_failed_start_is_repeated(container: ModuleType, function: FunctionUnderTest) -> None:
    """A policy that is there later is found by the same container."""
    content = function.policy_file.read_bytes()
    function.policy_file.unlink()
    assert container.main_handler(now(function, REST), None)["statusCode"] == 503
    function.policy_file.write_bytes(content)
    assert container.main_handler(now(function, REST), None)["statusCode"] == 201


def test_credentials_are_read_at_each_call(
    container: ModuleType, function: FunctionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = function.environ["TENCENTCLOUD_SECRETKEY"]
    monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", "expired")
    answer = Answer(container.main_handler(now(function, REST), None))
    assert (answer.status, answer.code) == (502, "cloud-refused")
    monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", good)
    assert container.main_handler(now(function, REST), None)["statusCode"] == 201


def test_half_set_credentials(
    container: ModuleType,
    function: FunctionUnderTest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No other credentials take their place, and the operator is told which ones to mend."""
    monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", "")
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", function.emulator.secret_id)
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", function.emulator.secret_key)
    before = function.create_calls()
    for path, code in ((REST, "misconfigured"), (V3, "InternalError.Misconfigured")):
        caplog.clear()
        answer = Answer(container.main_handler(now(function, path), None))
        assert answer.code == code
        (line,) = capsys.readouterr().out.splitlines()
        assert (json.loads(line)["decision"], json.loads(line)["reason"]) == ("failed", "misconfigured")
        assert [record.getMessage() for record in caplog.records] == [
            "TENCENTCLOUD_SECRETID and TENCENTCLOUD_SECRETKEY belong together; one of them is empty"
        ]
        assert "TENCENTCLOUD" not in answer.body
    assert function.create_calls() == before


def test_a_timer_without_credentials(
    container: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody reads the response to a timer, so it must be in the log."""
    monkeypatch.delenv("TENCENTCLOUD_SECRETID")
    monkeypatch.delenv("TENCENTCLOUD_SECRETKEY")
    assert container.main_handler({"Type": "Timer"}, None)["statusCode"] == 503
    assert [record.getMessage() for record in caplog.records] == [
        "no cloud credentials: give the function an execution role"
    ]


def test_a_timer_sweeps(container: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer(container.main_handler({"Type": "Timer", "TriggerName": "sweep", "Message": ""}, None))
    assert (answer.status, set(answer.json)) == (200, {"swept"})
    assert answer.headers["Cache-Control"] == "no-store"
    assert {json.loads(line)["door"] for line in capsys.readouterr().out.splitlines()} == {"sweeper"}


SECRET = "not-a-secret-but-long-enough-to-be-one-by-mistake"


MISTAKES: dict[str, tuple[str | None, str]] = {
    "KEYPAIR_MASTER_SECRET": (
        f"{SECRET}=",
        "KEYPAIR_MASTER_SECRET is malformed; it takes 32 random bytes in unpadded base64url (43 characters)",
    ),
    "KEYPAIR_HOSTS": (
        f"https://{SECRET}",
        (
            "KEYPAIR_HOSTS is malformed; it takes the host names that callers use, separated by commas, "
            "with :PORT unless it is 443; http://HOST, if at all, only beside HOST"
        ),
    ),
    "KEYPAIR_MASTERSECRET": (SECRET, "KEYPAIR_MASTERSECRET is not a setting; remove it or correct its name"),
    "KEYPAIR_REGION": (None, "KEYPAIR_REGION is missing; it takes a region, for example ap-guangzhou"),
}


def test_a_container_with_its_settings_starts_at_once(
    container: ModuleType,
    function: FunctionUnderTest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where SCF sets the variables before it loads the code, a mistake is logged before any request."""
    del container
    monkeypatch.setenv("KEYPAIR_HOSTS", "http://keys.example.com")
    load_index()
    monkeypatch.setenv("KEYPAIR_HOSTS", function.environ["KEYPAIR_HOSTS"])
    monkeypatch.setenv("KEYPAIR_STORE", "sqlite:/nowhere")
    with monkeypatch.context() as incomplete:
        incomplete.setitem(sys.modules, "handler.store.sqlite", None)
        load_index()
    malformed, fault = (record.getMessage() for record in caplog.records)
    assert malformed == MISTAKES["KEYPAIR_HOSTS"][1]
    assert fault.startswith("ModuleNotFoundError in open_store, line ")
    caplog.clear()
    started = load_index()
    function.policy_file.unlink()
    assert started.main_handler({"httpMethod": "GET", "path": "/healthz"}, None)["statusCode"] == 200
    assert not caplog.records


@pytest.mark.parametrize("name", MISTAKES)
def test_misconfiguration(
    name: str,
    container: ModuleType,
    function: FunctionUnderTest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """503 for everybody, and no value of a variable appears anywhere."""
    caplog.set_level(logging.DEBUG)
    value, told = MISTAKES[name]
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    for event in (now(function, REST), now(function, V3), {"httpMethod": "GET", "path": "/healthz"}, None):
        caplog.clear()
        answer = Answer(container.main_handler(event, {"request_id": "r-1"}))
        assert answer.status == 503
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json == {
            **MISCONFIGURED,
            "type": "urn:keypair-function:misconfigured",
            "requestId": "r-1",
        }
        assert [record.getMessage() for record in caplog.records] == [told]
        assert SECRET not in caplog.text


def test_a_recipient_of_the_policy_that_nothing_can_be_sealed_to(
    function: FunctionUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator learns the reason; callers only see that it is not their fault."""
    wrong = FunctionUnderTest(
        function.emulator, function.policy_file, {**function.policy, "escrow": ["age1nonsense"]}
    )
    answer = wrong.call(wrong.signed(REST))
    assert (answer.status, answer.json["code"]) == (503, "misconfigured")
    assert "errors" not in answer.json
    assert [record.getMessage() for record in caplog.records] == [
        "a recipient in the policy is refused: recipient-checksum"
    ]
    assert [line["reason"] for line in wrong.audit_lines()] == ["misconfigured"]


def test_an_incomplete_package(
    container: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever else goes wrong is told by its type and place; its text may quote anything."""
    monkeypatch.setenv("KEYPAIR_STORE", f"sqlite:/tmp/{SECRET}")
    monkeypatch.setitem(sys.modules, "handler.store.sqlite", None)
    answer = Answer(container.main_handler({"httpMethod": "GET", "path": "/healthz"}, {"request_id": "r-1"}))
    assert answer.status == 500
    assert answer.json == {
        "type": "urn:keypair-function:internal-fault",
        "title": "The function failed unexpectedly.",
        "status": 500,
        "code": "internal-fault",
        "requestId": "r-1",
    }
    (record,) = caplog.records
    assert record.getMessage().startswith("ModuleNotFoundError in open_store, line ")
    assert SECRET not in caplog.text


def test_a_defect_that_was_never_raised_has_no_place(caplog: pytest.LogCaptureFixture) -> None:
    log_fault(ValueError(SECRET))
    assert [record.getMessage() for record in caplog.records] == ["ValueError in an unknown place"]


def test_a_package_without_redis(
    container: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KEYPAIR_STORE", f"rediss://:{SECRET}@redis.example.com")
    monkeypatch.setitem(sys.modules, "handler.store.redis", None)
    answer = Answer(container.main_handler({"httpMethod": "GET", "path": "/healthz"}, {"request_id": "r-1"}))
    assert answer.status == 503
    (record,) = caplog.records
    assert record.getMessage().endswith("build it with scripts/build --with redis")
    assert SECRET not in caplog.text


# ---------------------------------------------------------------- the application's own last resorts


class Torn(io.StringIO):
    """An audit log that takes nothing."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, _text: str) -> int:
        raise self._error


def with_audit(function: FunctionUnderTest, stream: TextIO) -> FunctionUnderTest:
    function.services = composition.services(function.environ, function.clock.clock(), lambda: stream)
    return function


@pytest.mark.parametrize(
    "error", [OSError("disk full"), ValueError("closed"), UnicodeEncodeError("ascii", "", 0, 0, "")]
)
def test_an_audit_log_that_cannot_be_written(error: Exception, function: FunctionUnderTest) -> None:
    """No key, and no reason for a refusal either."""
    torn = with_audit(function, Torn(error))
    before = function.create_calls()
    for path, code in ((REST, "audit-unavailable"), (V3, "InternalError.AuditUnavailable")):
        for event in (torn.signed(path), torn.signed(path, caller="nobody"), torn.signed(path, "[]")):
            answer = torn.call(event)
            assert answer.code == code
            assert answer.headers["Retry-After"] == "5"
    assert function.create_calls() == before


@pytest.mark.parametrize(
    ("caller", "expected"),
    # Before a claim is held nothing can have been made; after that nothing is certain.
    [("nobody", (500, "internal-fault")), ("demo", (504, "outcome-unknown"))],
)
def test_a_defect_anywhere_gets_a_response(
    function: FunctionUnderTest, caplog: pytest.LogCaptureFixture, caller: str, expected: tuple[int, str]
) -> None:
    """The text of an unexpected exception appears nowhere."""
    torn = with_audit(function, Torn(RuntimeError(SECRET)))
    answer = torn.call(torn.signed(REST, caller=caller))
    assert (answer.status, answer.json["code"]) == expected
    assert {record.getMessage().partition(",")[0] for record in caplog.records} == {"RuntimeError in write"}
    assert SECRET not in caplog.text + answer.body


def test_a_defect_inside_an_endpoint_is_audited(
    function: FunctionUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    class Environ(dict[str, str]):
        def get(self, *_: object) -> str:
            raise RuntimeError(SECRET)

    function.environ = Environ(function.environ)
    for path, code in ((REST, "internal-fault"), (V3, "InternalError.InternalFault")):
        function.forget_audit()
        assert function.call(function.signed(path)).code == code
        assert [(line["decision"], line["reason"]) for line in function.audit_lines()] == [
            ("failed", "internal-fault")
        ]
    assert SECRET not in caplog.text


# ---------------------------------------------------------------- SCF's context

CONTEXT = {
    "request_id": "8a1b1a3c-6b1d-4a1e-9d55-3d1ec1ab3b7c",
    "time_limit_in_ms": 15000,
    "environ": f"TENCENTCLOUD_SECRETKEY={SECRET}",
    "environment": json.dumps({"TENCENTCLOUD_SECRETKEY": SECRET}),
}


NO_LIMITS: list[object] = [None, 0, 1, -1, True, "3000", 3000.5, [], {}, -(10**400)]
LIMITS: list[tuple[object, float]] = [
    (3000, 3.0),
    (2, 0.002),
    (60_000, MAX_INVOCATION_SECONDS),
    (900_000, MAX_INVOCATION_SECONDS),
    (10**400, MAX_INVOCATION_SECONDS),
    *((limit, DEFAULT_TIME_LIMIT) for limit in NO_LIMITS),
]


@pytest.mark.parametrize(("limit", "seconds"), LIMITS)
def test_time_limits(limit: object, seconds: float) -> None:
    invocation = Invocation.begin({"time_limit_in_ms": limit}, {}, TestClock().clock())
    assert invocation.deadline.remaining() == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("context", [None, "", [], 1, {}, {1: 2}, {"request_id": None}, {"request_id": {}}])
@pytest.mark.parametrize("wrong", ["", "a b", "a\n", "é", "a" * 65, '"'])
def test_contexts_without_a_request_id(context: object, wrong: str) -> None:
    fresh = {
        Invocation.begin(given, {}, TestClock().clock()).request_id
        for given in (context, {"request_id": wrong})
    }
    assert {len(request_id) for request_id in fresh} == {36}
    assert len(fresh) == 2


def test_the_context_is_not_passed_on(
    container: ModuleType,
    function: FunctionUnderTest,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It holds live credentials (583/9210)."""
    caplog.set_level(logging.DEBUG)
    for event in (now(function, REST), now(function, V3, caller="nobody"), None, {"path": 1}):
        answer = container.main_handler(event, CONTEXT)
        assert SECRET not in json.dumps(answer)
        assert CONTEXT["request_id"] in answer["body"]
    assert SECRET not in capsys.readouterr().out + caplog.text


# ---------------------------------------------------------------- a process


@pytest.mark.process
def test_a_process_as_scf_has_it(function: FunctionUnderTest, tmp_path: Path) -> None:
    """`index.py` at the root, the root logger at DEBUG, and nothing but audit lines on its output."""
    source = (
        "import json, logging, pathlib, sys\n"
        "logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)\n"
        "from handler.index import main_handler\n"
        "events = json.load(sys.stdin)\n"
        "answers = [main_handler(event, {'request_id': 'r-1'}) for event in events]\n"
        "pathlib.Path(sys.argv[1]).write_text(json.dumps(answers))\n"
    )

    def run(environ: dict[str, str], *events: object) -> tuple[list[dict[str, Any]], str, str]:
        answers = tmp_path / "answers.json"
        process = subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                # The cloud's SDK, from Python 3.12 on.
                "-W",
                "ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning",
                "-c",
                source,
                str(answers),
            ],
            input=json.dumps(events),
            env={**clean_environment(), **environ},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return json.loads(answers.read_text()), process.stdout, process.stderr

    good = now(function, REST)
    (issued, again, lost), stdout, stderr = run(function.environ, good, good, None)
    assert [issued["statusCode"], lost["statusCode"]] == [201, 400]
    assert issued == again
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert [line["decision"] for line in lines] == ["intent", "issued", "replayed"]
    (private_key,) = function.emulator.private_keys()[-1:]
    for line in private_key.splitlines()[1:-1]:
        assert line not in stdout + stderr + json.dumps(issued)

    environ = {**function.environ, "KEYPAIR_MASTER_SECRET": SECRET[:20]}
    (refused,), stdout, stderr = run(environ, good)
    assert refused["statusCode"] == 503
    assert stdout == ""
    assert stderr.splitlines()[-1].startswith(
        "ERROR:handler.application:KEYPAIR_MASTER_SECRET is malformed; it takes "
    )
    assert SECRET[:20] not in stderr
