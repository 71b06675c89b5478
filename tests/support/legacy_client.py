"""The client of the legacy API as its users have it: qcloudapi-sdk-python, unmodified, over HTTPS.

It runs in a process of its own, for importing it silences all warnings of the process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scripts.cvm_emulator.certificates import tls_context
from scripts.cvm_emulator.server import LoopbackServer, QuietHandler, serving
from tests.support.function_process import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# "keys" is no product that it knows, and so it takes the endpoint from its configuration.
_PROGRAM = """
import json, sys
from QcloudApi.qcloudapi import QcloudApi
config, parameters = json.load(sys.stdin)
sys.stdout.buffer.write(QcloudApi("keys", config).call("CreateKeyPair", parameters))
"""


@dataclass(frozen=True)
class LegacyClient:
    """Where it calls, and as whom."""

    url: str
    authority: Path
    secret_id: str
    secret_key: str

    def create_key_pair(
        self,
        parameters: Mapping[str, object],
        *,
        method: str = "GET",
        signature_method: str = "HmacSHA256",
        **config: str,
    ) -> dict[str, Any]:
        """Return the answer's JSON; `config` is more of the client's configuration."""
        settings = {
            "endpoint": urlsplit(self.url).netloc,
            "secretId": self.secret_id,
            "secretKey": self.secret_key,
            "method": method,
            "SignatureMethod": signature_method,
            **config,
        }
        environment = clean_environment({"SSL_CERT_FILE": str(self.authority)})
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=json.dumps([settings, parameters]),
            env={k: v for k, v in environment.items() if not k.lower().endswith("_proxy")},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@dataclass
class TlsFront:
    """`url`, which is HTTPS, leads to `target`; the platform does that for a Function URL."""

    url: str
    authority: Path
    target: str = ""


class _Forward(QuietHandler):
    def __init__(self, front: list[TlsFront], *connection: Any) -> None:  # noqa: ANN401  # http.server's own arguments
        # The base class serves the whole connection inside its constructor.
        self._front = front
        super().__init__(*connection)

    def do_GET(self) -> None:  # noqa: N802  # http.server asks for this name
        target = HTTPConnection(urlsplit(self._front[0].target).netloc, timeout=30)
        try:
            target.request(self.command, self.path, self.body(), dict(self.headers))
            answer = target.getresponse()
            body = answer.read()
        finally:
            target.close()
        headers = {"Content-Type": answer.headers["Content-Type"], "Content-Length": str(len(body))}
        self.head(answer.status, headers)
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # as above


@contextmanager
def running_tls_front(folder: Path) -> Iterator[TlsFront]:
    """Serve HTTPS on a free port; `target` has to be set before the first request."""
    context, authority = tls_context(folder)
    fronts: list[TlsFront] = []
    server = LoopbackServer(0, partial(_Forward, fronts), context)
    fronts.append(TlsFront(server.url, authority))
    with serving(server):
        yield fronts[0]
