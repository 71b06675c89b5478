"""An OpenID provider as sign-in in a browser needs it: public clients, PKCE that is verified, and CORS.

`oidc-provider-mock` has none of the three, so they stand before it.
`python -m tests.support.web_issuer PORT` serves it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse


@dataclass
class WebIssuer:
    """The provider, and before it what a browser's client demands."""

    challenges: dict[str, str] = field(default_factory=dict)
    """Code -> the challenge that its verifier has to fit (RFC 7636 section 4.6)."""

    def __post_init__(self) -> None:
        # Its import warns of what its own packages do; here, in its own process, that is nobody's concern.
        import oidc_provider_mock  # type: ignore[import-untyped]

        self._provider: Any = oidc_provider_mock.app(require_nonce=True)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        if request.path == "/oauth2/token" and not self._exchange(request):
            response = Response('{"error": "invalid_grant"}', 400, content_type="application/json")
        else:
            response = Response.from_app(self._provider, environ)
        code = parse_qs(urlsplit(response.headers.get("Location", "")).query).get("code")
        if code:
            assert request.args["code_challenge_method"] == "S256"
            self.challenges[code[0]] = request.args["code_challenge"]
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response(environ, start_response)

    def _exchange(self, request: Request) -> bool:
        """Verify the verifier of a client that has no secret, and give it the one that the mock demands."""
        form = request.form.to_dict()
        assert "client_secret" not in form
        assert "authorization" not in request.headers
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        body = urlencode({**form, "client_secret": "any"}).encode()
        request.environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        challenge = self.challenges.pop(form["code"])
        return base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge


@contextmanager
def web_issuer(port: int) -> Iterator[str]:
    """Run one in a process of its own, and give its address: whoever types a name there is that person."""
    address = f"http://localhost:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.web_issuer", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _await_answer(process, f"{address}/.well-known/openid-configuration")
            yield address
        finally:
            process.terminate()


def _await_answer(process: subprocess.Popen[bytes], address: str) -> None:
    # A proxy of the machine must not come between.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 30
    while True:
        try:
            direct.open(address, timeout=10).close()
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the issuer does not answer"
        else:
            return
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended with status {process.wait(timeout=0.05)}")


if __name__ == "__main__":
    make_server("localhost", int(sys.argv[1]), WebIssuer(), threaded=True).serve_forever()
