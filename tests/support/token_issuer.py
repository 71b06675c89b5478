"""Issuers of tokens: keys and tokens of any make, a server of keys that can misbehave, an OpenID provider."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from tests.support.function_under_test import base64url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping


PrivateKey: TypeAlias = "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey"

_HASHES: Mapping[str, Callable[[], HashAlgorithm]] = {"256": SHA256, "384": SHA384, "512": SHA512}
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "secp256k1"}


# ---------------------------------------------------------------- keys and tokens


def jwk(key: PrivateKey, **more: object) -> dict[str, Any]:
    """Return the public half as a JWK; `more` are further members, None takes one away."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        members = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        point, size = key.public_key().public_numbers(), (key.key_size + 7) // 8
        members = {"kty": "EC", "crv": _CURVES[key.curve.name]}
        members |= {
            "x": base64url(point.x.to_bytes(size, "big")),
            "y": base64url(point.y.to_bytes(size, "big")),
        }
    else:
        members = {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key().public_bytes_raw())}
    return {name: value for name, value in {**members, **more}.items() if value is not None}


def _number(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def signature(key: PrivateKey, algorithm: str, text: bytes) -> bytes:
    """Sign as RFC 7518 section 3 and RFC 8037 say, by hand, for the function verifies with PyJWT."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(text)
    digest = _HASHES[algorithm[2:]]()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(text, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if algorithm.startswith("PS"):
        return key.sign(text, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(text, padding.PKCS1v15(), digest)


def unsigned(header: Mapping[str, object] | bytes, claims: Mapping[str, object] | bytes) -> str:
    """Return the first two parts of a token; bytes stay as they are."""
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims))
    return ".".join(base64url(part) for part in parts)


def token(
    key: PrivateKey,
    claims: Mapping[str, object] | bytes,
    *,
    alg: str,
    header: bytes | None = None,
    **parameters: object,
) -> str:
    """Return a signed token; `parameters` are those of its header besides alg and typ, None for none."""
    members: dict[str, object] = {"alg": alg, "typ": "JWT", **parameters}
    named = {name: value for name, value in members.items() if value is not None}
    signed = unsigned(named if header is None else header, claims)
    return f"{signed}.{base64url(signature(key, alg, signed.encode()))}"


# ---------------------------------------------------------------- a server of keys


@dataclass
class KeyServer:
    """Answers every GET in the same way, which a test may change."""

    url: str = ""
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    holds: bool = False
    """Whether it answers nothing until the test is over."""
    drips: bool = False
    """Whether it answers a byte at a time, and is never done."""
    paths: list[str] = field(default_factory=list)
    """What was asked for."""
    accepts: list[str | None] = field(default_factory=list)
    """In which form."""
    over: threading.Event = field(default_factory=threading.Event)

    def publish(self, *keys: Mapping[str, object]) -> None:
        self.body = json.dumps({"keys": keys}).encode()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.paths.append(request.path)
        self.accepts.append(request.headers["Accept"])
        if self.holds:
            self.over.wait()
            return
        request.send_response(self.status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(self.body)))
        request.end_headers()
        while self.drips and not self.over.wait(0.2):
            request.wfile.write(b" ")
        request.wfile.write(self.body)


@contextmanager
def key_server(tls: ssl.SSLContext | None = None) -> Iterator[KeyServer]:
    """Serve keys on a free port of this machine."""
    keys = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.answer(self)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # joined when the server closes

        def handle_error(self, *_arguments: object) -> None:
            """Say nothing: a client that went away is what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    keys.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_port}/keys?of=all"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield keys
    finally:
        keys.over.set()
        server.shutdown()
        serving.join()
        server.server_close()


# ---------------------------------------------------------------- an OpenID provider


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class OpenIdProvider:
    """A running `oidc-provider-mock`; its keys are new with every start."""

    issuer: str
    configuration: Mapping[str, Any]
    """What its discovery document says."""

    def identity_token(self, audience: str, subject: str, **claims: object) -> str:
        """Return an ID token from the authorization code flow (OpenID Connect Core 1.0 section 3.1)."""
        self._send("PUT", f"{self.issuer}/users/{subject}", json.dumps(claims).encode())
        asked = {
            "client_id": audience,
            "redirect_uri": f"{self.issuer}/.well-known/openid-configuration",
            "response_type": "code",
            "scope": "openid",
        }
        address = f"{self.configuration['authorization_endpoint']}?{urlencode(asked)}"
        landed = self._send("POST", address, urlencode({"sub": subject}).encode())[0]
        code = parse_qs(urlsplit(landed).query)["code"][0]
        exchanged = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": asked["redirect_uri"],
            "client_id": audience,
            "client_secret": "any",
        }
        answer = self._send("POST", self.configuration["token_endpoint"], urlencode(exchanged).encode())[1]
        identity_token: str = answer["id_token"]
        return identity_token

    def _send(self, method: str, address: str, body: bytes) -> tuple[str, Any]:
        kind = "application/json" if method == "PUT" else "application/x-www-form-urlencoded"
        request = urllib.request.Request(address, body, {"Content-Type": kind}, method=method)  # noqa: S310  # loopback
        with _DIRECT.open(request, timeout=10) as response:
            content = response.read()
            return response.url, json.loads(content) if content else None


# A proxy of the machine must not come between.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def openid_provider(port: int) -> Iterator[OpenIdProvider]:
    """Run the provider in a process of its own; it goes by the true time."""
    issuer = f"http://localhost:{port}"
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield OpenIdProvider(issuer, _discovered(process, f"{issuer}/.well-known/openid-configuration"))
        finally:
            process.terminate()


def _discovered(process: subprocess.Popen[bytes], address: str) -> Mapping[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        try:
            with _DIRECT.open(address, timeout=10) as response:
                configuration: Mapping[str, Any] = json.load(response)
                return configuration
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended with status {process.wait(timeout=0.05)}")
