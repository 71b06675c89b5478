"""One stand-in of the cloud for all tests here, with an empty account for each."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from scripts.deployment.__main__ import Terminal, main
from scripts.deployment.operations import settings_of
from scripts.info_file import await_info
from scripts.packaging.archive import with_entries
from tests.support.function_process import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "-" + "A" * 41 + "8"
"""A master secret that SCF's pattern for variables forbids as it is."""
STUB = """
import json
def main_handler(event, context):
    if event.get("path") == "/healthz":
        status, body = 200, {"status": "ok"}
    else:
        status, body = 401, {"code": "unauthenticated"}
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
"""
"""A function that answers the test requests and starts at once."""


@dataclass(frozen=True)
class CloudStandIn:
    """The stand-in's process, as tests see it."""

    info: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.info["url"])

    def control(self, what: str, **given: object) -> Any:  # noqa: ANN401  # JSON
        request = urllib.request.Request(  # noqa: S310  # loopback
            f"{self.url}/_control/{what}", json.dumps(given).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # loopback
            return json.load(answer)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.control("state")
        return found

    @property
    def calls(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("calls")
        return found

    @property
    def function(self) -> dict[str, Any]:
        (found,) = self.state["functions"].values()
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="session")
def stand_in_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudStandIn]:
    folder = tmp_path_factory.mktemp("stand-in")
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.cloud_stand_in", "--info", str(folder / "info.json")],
            cwd=ROOT,
            env=clean_environment(),
            stdout=output,
            stderr=output,
        )
    try:
        yield CloudStandIn(await_info(process, folder / "info.json", seconds=60))
    finally:
        process.terminate()
        process.wait(timeout=20)
        assert "Traceback" not in log.read_text()


@pytest.fixture
def cloud(stand_in_process: CloudStandIn) -> CloudStandIn:
    stand_in_process.control("reset")
    return stand_in_process


class Screen(StringIO):
    """What a terminal shows."""

    def isatty(self) -> bool:
        return True


@dataclass
class Deployer:
    """Somebody with a shell: `run` is `scripts/deploy`."""

    cloud: CloudStandIn
    folder: Path
    package: Path
    environment: dict[str, str]
    out: str = ""
    error: str = ""
    answers: list[bool] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    at_terminal: bool = False

    def run(self, *arguments: str, **environment: str) -> int:
        out, error = Screen() if self.at_terminal else StringIO(), StringIO()

        def confirm(question: str) -> bool:
            self.questions.append(question)
            return self.answers.pop(0) if self.answers else False

        status = main(
            [*arguments[:1], "--endpoint", self.cloud.url, *arguments[1:]],
            environment={**self.environment, **environment},
            root=self.folder,
            terminal=Terminal(out, error, confirm, sleep=lambda _: None),
        )
        self.out, self.error = out.getvalue(), error.getvalue()
        return status

    def apply(self, *arguments: str, **environment: str) -> int:
        return self.run("apply", "--with-role", "--package", str(self.package), *arguments, **environment)

    def plan(self, *arguments: str, **environment: str) -> list[dict[str, Any]]:
        given = ("plan", "--json", "--with-role", "--package", str(self.package), *arguments)
        assert self.run(*given, **environment) == 0, self.error
        found: list[dict[str, Any]] = json.loads(self.out)
        return found


@pytest.fixture
def deployer(cloud: CloudStandIn, tmp_path: Path) -> Deployer:
    (tmp_path / "serverless.yml").write_text((ROOT / "serverless.yml").read_text("utf-8"), "utf-8")
    (tmp_path / "policy.toml").write_text((ROOT / "policy.example.toml").read_text("utf-8"), "utf-8")
    package = tmp_path / "stub.zip"
    write_stub(package)
    environment = {
        "TENCENTCLOUD_SECRET_ID": cloud.info["secretId"],
        "TENCENTCLOUD_SECRET_KEY": cloud.info["secretKey"],
        "KEYPAIR_REGION": "ap-guangzhou",
        "KEYPAIR_MASTER_SECRET": SECRET,
        "KEYPAIR_STORE": "memory:",
    }
    return Deployer(cloud, tmp_path, package, environment)


def write_stub(package: Path, source: str = STUB) -> None:
    empty = b"PK\x05\x06" + bytes(18)  # a zip without entries
    policy = b'{"callers": {}}'
    package.write_bytes(with_entries(empty, {"index.py": source.encode(), "handler/policy.json": policy}))


READING = ("Get", "List", "Describe", "HEAD")


def changes(calls: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return what was called and changed something."""
    return [(c["service"], c["action"]) for c in calls if not c["action"].startswith(READING)]


def live_settings(cloud: CloudStandIn) -> dict[str, str]:
    return settings_of(cloud.function["configuration"])
