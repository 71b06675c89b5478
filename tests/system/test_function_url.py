"""The local Function URL imitates the platform; each rule is shown with a function of a few lines."""

import base64
import hmac
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from scripts.function_url.code_root import CodeRoot
from scripts.function_url.front import reply_to
from scripts.function_url.instance import Failed, Instance, Logs, Returned
from scripts.python310 import find_python310
from tests.support.function_process import (
    FunctionProcess,
    clean_environment,
    function_command,
    running_function,
)

needs_python310 = pytest.mark.skipif(
    find_python310() is None, reason="deployment packages run on Python 3.10"
)

# Each path is a case. Nothing but the standard library: the package has no more.
FUNCTION = """
import json, logging, os, sys, time
AT_LOAD = {"os.environ": dict(os.environ), "path": list(sys.path), "cwd": os.getcwd(), "file": __file__}
print("loaded")

def main_handler(event, context):
    path = event["path"]
    if path == "/event":
        return {"statusCode": 200, "body": json.dumps([type(event).__name__, event])}
    if path == "/context":
        return {"statusCode": 200, "body": json.dumps([type(context).__name__, context])}
    if path == "/no-status":
        return {"error": "denied \\u00e9"}
    if path == "/none":
        return None
    if path == "/raise":
        raise RuntimeError("something of the function's")
    if path == "/exit":
        sys.exit(3)
    if path == "/not-json":
        return {"statusCode": 200, "body": object()}
    if path == "/wait":
        open(event["queryString"]["ready"], "w").close()
        time.sleep(60)
    if path == "/headers":
        return {"statusCode": 201, "headers": {"X-One": "1", "X-Two": ["a", "b"], "Content-Length": "99"},
                "body": "made"}
    if path == "/binary":
        return {"isBase64Encoded": True, "statusCode": 200, "headers": {}, "body": "AP8="}
    if path == "/nothing":
        return {"statusCode": 204}
    if path == "/environ":
        seen = dict(os.environ)
        os.environ["LEFT_BEHIND"] = "1"
        del os.environ["TZ"]
        return {"statusCode": 200, "body": json.dumps([seen, AT_LOAD])}
    if path == "/log":
        print("a line of audit")
        print("an error text", file=sys.stderr)
        logging.getLogger("library").debug("a library's debug text")
        return {"statusCode": 200, "body": "the body of the response"}
    if path == "/write":
        refused = []
        for target in ("index.py", "new"):
            try:
                open(target, "a").close()
            except OSError as error:
                refused.append(type(error).__name__)
        return {"statusCode": 200, "body": json.dumps(refused)}
    if path == "/pid":
        return {"statusCode": 200, "body": str(os.getpid())}
    if path == "/imports":
        try:
            import pydantic
        except ImportError as error:
            return {"statusCode": 200, "body": f"{sys.version_info[:2]} {error}"}
    if path == "/large":
        return {"statusCode": 200, "body": "x" * int(event["queryString"]["size"])}
"""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401  # whatever the function answers
        return json.loads(self.body)


def request(
    function: FunctionProcess,
    target: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(function.url).netloc, timeout=30)
    try:
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def make_package(folder: Path, source: str = FUNCTION, name: str = "index.py") -> Path:
    package = folder / "function.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(name, source)
    return package


CREDENTIALS = {
    "TENCENTCLOUD_SECRETID": "AKIDtest",
    "TENCENTCLOUD_SECRETKEY": "secret-of-the-role",
    "TENCENTCLOUD_SESSIONTOKEN": "token-of-the-role",
}


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    environment = {"KEYPAIR_REGION": "ap-beijing", "OTHER": "1", **CREDENTIALS}
    package = make_package(tmp_path_factory.mktemp("package"))
    with running_function(package=package, environment=environment) as running:
        yield running


@needs_python310
def test_event_is_exactly_the_documented_one(function: FunctionProcess) -> None:
    answer = request(
        function,
        "/event?a=1&b=2&b=3&empty=&c=%C3%A9",
        method="POST",
        body='{"test": "é"}'.encode(),
        headers={"Host": "example.test", "X-Custom": "Value", "X-SCF-Remote-Addr": "6.6.6.6"},
    )
    assert answer.json() == [
        "dict",
        {
            "body": '{"test": "é"}',
            "headers": {
                "accept-encoding": "identity",
                "content-length": "14",
                "host": "example.test",
                "x-custom": "Value",
                "x-scf-remote-addr": "127.0.0.1",
            },
            "httpMethod": "POST",
            "path": "/event",
            "queryString": {"a": "1", "b": "3", "empty": "", "c": "é"},
        },
    ]


@needs_python310
def test_event_without_body_and_query_has_them_empty(function: FunctionProcess) -> None:
    _, event = request(function, "/event").json()
    assert (event["body"], event["queryString"], event["httpMethod"]) == ("", {}, "GET")


@needs_python310
def test_context_is_a_dict_that_holds_live_credentials(function: FunctionProcess) -> None:
    kind, context = request(function, "/context").json()
    assert kind == "dict"
    assert (context["time_limit_in_ms"], context["tencentcloud_region"]) == (15000, "ap-beijing")
    assert json.loads(context["environment"]) == dict(
        pair.split("=") for pair in context["environ"].split(";")
    )
    assert json.loads(context["environment"]).items() >= CREDENTIALS.items()
    assert request(function, "/context").json()[1]["request_id"] != context["request_id"]


@needs_python310
@pytest.mark.parametrize(("path", "body"), [("/no-status", '{"error": "denied é"}'), ("/none", "null")])
def test_value_without_status_code_is_a_success(function: FunctionProcess, path: str, body: str) -> None:
    answer = request(function, path)
    assert (answer.status, answer.body.decode()) == (200, body)
    assert ("Content-Type", "application/json") in answer.headers


@needs_python310
def test_response_dict_becomes_the_response(function: FunctionProcess) -> None:
    answer = request(function, "/headers")
    assert (answer.status, answer.body) == (201, b"made")
    own = [pair for pair in answer.headers if pair[0].startswith(("X-", "Content-"))]
    assert own == [("X-One", "1"), ("X-Two", "a"), ("X-Two", "b"), ("Content-Length", "4")]
    assert request(function, "/binary").body == b"\x00\xff"
    assert (request(function, "/nothing").status, request(function, "/nothing").body) == (204, b"")
    assert request(function, "/headers", method="HEAD").body == b""


@pytest.mark.parametrize(
    "value",
    [
        {"statusCode": "200"},
        {"statusCode": True},
        {"statusCode": 600},
        {"statusCode": 200, "body": {}},
        {"statusCode": 200, "headers": []},
        {"statusCode": 200, "headers": {"A": 1}},
        {"statusCode": 200, "headers": {"A": "b\r\nC: d"}},
        {"statusCode": 200, "headers": {"A": ["é"]}},
        {"statusCode": 200, "isBase64Encoded": True, "body": "no base64"},
    ],
)
def test_malformed_response_is_a_platform_error(value: object) -> None:
    reply = reply_to(Returned(value))
    assert (reply.status, json.loads(reply.body)["errorCode"]) == (500, 430)


@needs_python310
@pytest.mark.parametrize("path", ["/raise", "/not-json"])
def test_uncaught_error_is_a_platform_error(function: FunctionProcess, path: str) -> None:
    answer = request(function, path)
    assert answer.status == 500
    assert answer.json()["errorCode"] == 430
    assert answer.json()["stackTrace"].startswith("Traceback")


@needs_python310
def test_traceback_names_the_file_as_the_runtime_does(function: FunctionProcess) -> None:
    trace = request(function, "/raise").json()["stackTrace"]
    assert 'File "./index.py", line' in trace
    assert trace.endswith("RuntimeError: something of the function's\n")


@needs_python310
def test_environment_is_set_anew_for_each_call(function: FunctionProcess) -> None:
    expected = {
        "KEYPAIR_REGION": "ap-beijing",
        "LANG": "en_US.UTF8",
        "PYTHONDONTWRITEBYTECODE": "x",
        "TENCENTCLOUD_RUNENV": "SCF",
        "TZ": "UTC",
        **CREDENTIALS,
    }
    for _ in range(2):
        seen, at_load = request(function, "/environ").json()
        assert seen.pop("KEYPAIR_PUBLIC_URL") == function.url
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", seen.pop("KEYPAIR_SCF_ENDPOINT"))
        assert seen == {"PYTHONPATH": at_load["cwd"], **expected}
    assert not at_load["os.environ"].keys() & CREDENTIALS.keys()
    assert at_load["os.environ"]["KEYPAIR_REGION"] == "ap-beijing"


@needs_python310
def test_package_sees_only_itself_and_python310(function: FunctionProcess) -> None:
    assert request(function, "/imports").body == b"(3, 10) No module named 'pydantic'"
    _, at_load = request(function, "/environ").json()
    assert at_load["path"][0] == at_load["cwd"]
    assert not [folder for folder in at_load["path"] if "site-packages" in folder or "scripts" in folder]


@needs_python310
def test_package_is_read_only(function: FunctionProcess) -> None:
    assert request(function, "/write").json() == ["PermissionError", "PermissionError"]


@needs_python310
def test_log_holds_prints_debug_records_and_the_return_value(function: FunctionProcess) -> None:
    before = len(function.function_stdout)
    request(function, "/log")
    lines = function.function_stdout[before:].splitlines()
    assert lines[0] == "a line of audit"
    assert lines[1].startswith("[DEBUG] ")
    assert lines[1].endswith(" library a library's debug text")
    assert lines[2].startswith("Response RequestId:")
    assert lines[2].endswith(' RetMsg:{"statusCode": 200, "body": "the body of the response"}')
    assert len(lines) == 3
    assert "an error text\n" in function.function_stderr
    assert function.audit_log.read_text() == function.function_stdout


@needs_python310
def test_one_request_at_a_time(function: FunctionProcess) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: request(function, "/pid").body, range(32)))
    assert set(answers) == {str(function.info["instancePid"]).encode()}


@needs_python310
def test_six_megabytes_and_no_more(function: FunctionProcess) -> None:
    limit = 6 * 1024 * 1024
    assert len(request(function, f"/large?size={limit - 100}").body) == limit - 100
    assert request(function, f"/large?size={limit}").json()["errorCode"] == 407
    assert request(function, "/none", method="POST", body=b"x" * (limit - 1000)).status == 200
    assert request(function, "/none", method="POST", body=b"x" * limit).json()["errorCode"] == 406


@needs_python310
def test_exit_of_the_function_is_a_platform_error(function: FunctionProcess) -> None:
    answer = request(function, "/exit")
    assert (answer.status, answer.json()["errorCode"]) == (500, 439)
    assert request(function, "/pid").status == 200


def wait_inside(function: FunctionProcess, folder: Path) -> "tuple[threading.Thread, list[Answer]]":
    """Send a request that does not come back, and return when the function is inside it."""
    fifo = folder / "inside"
    os.mkfifo(fifo)
    answers: list[Answer] = []

    def send() -> None:
        with suppress(ConnectionError):  # as when the whole is stopped
            answers.append(request(function, f"/wait?ready={fifo}"))

    thread = threading.Thread(target=send)
    thread.start()
    fifo.open().close()
    return thread, answers


@needs_python310
def test_kill_in_a_request_fails_it_and_the_next_gets_a_new_instance(
    function: FunctionProcess, tmp_path: Path
) -> None:
    killed = function.info["instancePid"]
    thread, answers = wait_inside(function, tmp_path)
    function.kill_instance()
    thread.join(30)
    assert [(a.status, a.json()["errorCode"]) for a in answers] == [(500, 439)]
    fresh = int(request(function, "/pid").body)
    assert fresh == function.info["instancePid"] != killed


@needs_python310
def test_kill_between_requests_fails_none(function: FunctionProcess) -> None:
    request(function, "/pid")
    for _ in range(5):
        killed = function.info["instancePid"]
        function.kill_instance()
        assert int(request(function, "/pid").body) == function.info["instancePid"] != killed


@needs_python310
def test_time_out_ends_the_instance(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    with running_function(package=package, timeout=0.5) as running:
        first = running.info["instancePid"]
        thread, answers = wait_inside(running, tmp_path)
        thread.join(30)
        assert [(a.status, a.json()["errorCode"]) for a in answers] == [(500, 433)]
        assert int(request(running, "/pid").body) != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)


@needs_python310
@pytest.mark.parametrize(
    ("source", "name", "code"),
    [
        (FUNCTION, "folder/index.py", 437),
        ("main = None", "index.py", 437),
        ("1 / 0", "index.py", 430),
        ("open('nowhere')", "index.py", 430),
        ("object().nothing", "index.py", 430),
        ("import os; os._exit(1)", "index.py", 439),
    ],
    ids=[
        "not at the root",
        "no main_handler",
        "error at load",
        "missing file",
        "missing attribute",
        "exit at load",
    ],
)
def test_function_that_does_not_load(tmp_path: Path, source: str, name: str, code: int) -> None:
    with running_function(package=make_package(tmp_path, source, name)) as running:
        assert running.info["instancePid"] is None
        assert [request(running, "/").json()["errorCode"] for _ in range(2)] == [code, code]


@needs_python310
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_stops_it_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    package = make_package(tmp_path)
    environment = {"TMPDIR": str(temporary)}
    with running_function(package=package, environment=environment) as running:
        instance = running.info["instancePid"]
        code_root = Path(request(running, "/environ").json()[1]["cwd"])
        thread, _ = wait_inside(running, tmp_path)
        assert code_root.parent == temporary
        assert running.stop(signal.Signals[name]) == 0
        thread.join(30)
    assert list(temporary.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(instance, 0)
    assert running.function_stdout.startswith("loaded\n")


def run_to_its_end(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        function_command(*arguments),
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_package_without_python310_says_how_to_get_one(tmp_path: Path) -> None:
    package = str(make_package(tmp_path))
    nowhere = str(tmp_path)
    ended = run_to_its_end("--package", package, PATH=nowhere, HOME=nowhere, PYENV_ROOT=nowhere, PYTHON310="")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "pyenv install 3.10" in ended.stderr


@needs_python310
def test_file_that_is_no_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    ended = run_to_its_end("--package", str(tmp_path / "text.zip"))
    assert ended.returncode == 2
    assert ended.stderr == f"{tmp_path}/text.zip: cannot unpack this package: File is not a zip file\n"


def test_value_that_scf_would_cut_is_refused() -> None:
    ended = run_to_its_end(KEYPAIR_STORE="redis://a;b")
    assert (ended.returncode, ended.stderr) == (
        2,
        "KEYPAIR_STORE: SCF cannot carry ';' or '=' in a value; use unpadded base64url\n",
    )


def test_more_than_4_kilobytes_of_configuration_are_refused() -> None:
    ended = run_to_its_end(KEYPAIR_HOSTS="a" * 4084)
    assert (ended.returncode, ended.stderr) == (
        2,
        "The KEYPAIR_* variables take 4097 bytes in all; SCF allows 4096\n",
    )


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("policy.toml", "a = 1\nb = [\n", "(at "),
        ("policy.json", '{"a": 1,\n "b" 2}', "policy.json:2: Expecting ':' delimiter (column 6)"),
        ("policy.json", "[]", "policy.json:1: a policy is an object that contains `callers`"),
        ("policy.toml", "callers = 3\n", "policy.toml: callers"),
    ],
)
def test_policy_at_fault_is_refused_with_its_place(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    policy = tmp_path / name
    policy.write_text(text)
    ended = run_to_its_end("--policy", str(policy))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(str(policy))
    assert complaint in ended.stderr


def test_policy_that_is_not_there(tmp_path: Path) -> None:
    ended = run_to_its_end("--policy", str(tmp_path / "none.toml"))
    assert (ended.returncode, ended.stderr) == (2, f"{tmp_path}/none.toml: No such file or directory\n")


@needs_python310
def test_emulator_credentials_and_demo_policy_reach_the_function(tmp_path: Path) -> None:
    environment = {"KEYPAIR_REGION": "ap-beijing", **CREDENTIALS}
    with running_function(emulator=True, package=make_package(tmp_path), environment=environment) as running:
        info = running.info
        seen, _ = request(running, "/environ").json()
        policy = json.loads(Path(seen["KEYPAIR_POLICY"]).read_text())
        emulator = urlsplit(info["cvmEndpoint"])
        assert (emulator.hostname, emulator.port) != (None, None)
        address = (str(emulator.hostname), emulator.port)
        socket.create_connection(address).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address).close()
    port = urlsplit(info["url"]).port
    assert seen["KEYPAIR_HOSTS"] == f"127.0.0.1:{port},localhost:{port},http://127.0.0.1:{port}"
    assert seen["KEYPAIR_REGION"] == "ap-beijing"  # what is set already wins
    assert seen["KEYPAIR_STORE"] == "memory:"
    assert seen["KEYPAIR_CVM_ENDPOINT"] == info["cvmEndpoint"]
    assert [seen[name] for name in CREDENTIALS if seen[name] == CREDENTIALS[name]] == []
    assert len(seen["KEYPAIR_MASTER_SECRET"]) == 43
    master = base64.urlsafe_b64decode(seen["KEYPAIR_MASTER_SECRET"] + "=")
    derived = base64.urlsafe_b64encode(hmac.digest(master, b"tc3:demo", "sha256")).decode().rstrip("=")
    assert (info["secretId"], info["secretKey"]) == ("demo", derived)
    grant = {"names": ["*"], "regions": ["ap-guangzhou"], "own_recipients": True}
    grant |= {"optional_tags": {"team": "*"}, "actions": ["create", "list", "delete", "import"]}
    assert policy == {"callers": {"demo": {"tc3": True, "grants": [grant]}}}
    assert derived not in running.everything_written


def test_instance_runs_on_this_python_too(tmp_path: Path) -> None:
    """Source mode runs on whatever Python a person has; how a file is loaded differs from 3.12 on."""
    (tmp_path / "index.py").write_text(FUNCTION)
    started: list[int | None] = []
    instance = Instance(
        CodeRoot((sys.executable,), tmp_path, "./index.py"),
        {"KEYPAIR_REGION": "ap-guangzhou"},
        Logs(tmp_path / "stdout", tmp_path / "stderr"),
        time_limit=15,
        on_start=started.append,
    )
    try:
        assert instance.start() is None
        outcome = instance.call({"path": "/raise"})
        assert isinstance(outcome, Failed)
        assert (outcome.code, 'File "./index.py", line' in outcome.trace) == (430, True)
        value = instance.call({"path": "/pid"})
        assert value == Returned({"statusCode": 200, "body": str(started[0])})
    finally:
        instance.stop()
    assert instance.call({"path": "/pid"}) == Failed(439)
    assert (tmp_path / "stderr").read_text() == ""
