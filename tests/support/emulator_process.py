"""The CVM emulator as a process of its own, for every test that needs a cloud."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from scripts.info_file import await_info
from tests.support.key_pool import key_pool

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class EmulatorProcess:
    process: subprocess.Popen[bytes]
    info: dict[str, Any]
    cvm_endpoint: str
    """With scheme, such as http://127.0.0.1:12345."""
    control_url: str
    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    _private_keys: list[str] = field(default_factory=list, repr=False)
    _connections: dict[tuple[int, int], HTTPConnection] = field(default_factory=dict, repr=False)

    def add_faults(self, *faults: dict[str, object]) -> None:
        """Queue faults; those without an action are for CreateKeyPair."""
        self.control("POST", "/faults", [{"action": "CreateKeyPair", **fault} for fault in faults])

    def behave(self, **conduct: object) -> None:
        """Let the cloud behave as `scripts/cvm_emulator/conduct.py` says; with nothing, as documented."""
        self.control("POST", "/conduct", conduct)

    def tags(self) -> set[tuple[str, str]]:
        """Return every tag that the account has ever had."""
        return {(key, value) for key, value in self.control("GET", "/tags")}

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.control("GET", "/state")
        return state

    def key_pairs(self) -> list[dict[str, Any]]:
        key_pairs: list[dict[str, Any]] = self.state()["keyPairs"]
        return key_pairs

    def calls(self, action: str) -> int:
        calls: int = self.state()["calls"].get(action, 0)
        return calls

    def private_keys(self) -> list[str]:
        self._private_keys.extend(self.control("GET", f"/private-keys?from={len(self._private_keys)}"))
        return list(self._private_keys)

    def control(self, method: str, path: str, content: object = None) -> Any:  # noqa: ANN401  # decoded JSON
        body = None if content is None else json.dumps(content).encode()
        connection = self._connection()
        connection.request(method, path, body)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise OSError(f"{response.status}: {answer!r}")
        return json.loads(answer)

    def _connection(self) -> HTTPConnection:
        """Return a connection that no other thread and no forked process uses; to make one takes longer."""
        owner = (os.getpid(), threading.get_ident())
        if owner not in self._connections:
            self._connections[owner] = HTTPConnection(self.control_url.removeprefix("http://"), timeout=10)
        return self._connections[owner]

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


@contextmanager
def running_emulator(
    *,
    state: Path | None = None,
    tls: Path | None = None,
    rate: int = 0,
    token: str = "",
    quota: int | None = None,
) -> Iterator[EmulatorProcess]:
    """Run the emulator on a free port; it has stopped, with status 0, when the block is left."""
    with tempfile.TemporaryDirectory() as directory:
        info_file = Path(directory) / "info.json"
        arguments: list[str | Path] = ["--info", info_file, "--pool", key_pool(), "--rate", str(rate)]
        arguments += [] if state is None else ["--state", state]
        arguments += [] if tls is None else ["--tls", tls]
        arguments += [] if not token else ["--token", token]
        arguments += [] if quota is None else ["--quota", str(quota)]
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.cvm_emulator", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        try:
            info = await_info(process, info_file, seconds=30)
            running = EmulatorProcess(
                process=process,
                info=info,
                cvm_endpoint=str(info["cvmEndpoint"]),
                control_url=str(info["controlUrl"]),
                secret_id=str(info["secretId"]),
                secret_key=str(info["secretKey"]),
                token=str(info["token"]),
            )
            with closing(running):
                yield running
        finally:
            process.terminate()
            try:
                status = process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
        assert status == 0
