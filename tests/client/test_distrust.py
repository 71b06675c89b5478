"""A function that is broken or not the function: nothing that it sends is saved or followed unchecked."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.client_command import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
SECRET = "A" * 43
HEARD_OUT = "all of 64 MiB"
Reply = tuple[int, dict[str, str], bytes]


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def public_key(key: rsa.RSAPrivateKey) -> str:
    openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(*openssh).decode()


def fingerprint(key: rsa.RSAPrivateKey) -> str:
    blob = base64.b64decode(public_key(key).split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def answer(order: dict[str, Any], plain: bytes, **changes: object) -> Reply:
    """Return what a function says that made KEY, sealed as it has to be."""
    recipient = pyrage.x25519.Recipient.from_str(order["recipients"][0])
    content = {
        "keyId": "skey-00000000", "keyName": order["keyName"], "projectId": 0, "region": "ap-guangzhou",
        "publicKey": public_key(KEY), "fingerprint": fingerprint(KEY), "createdAt": "2026-11-26T00:00:00Z",
        "expiresAt": None, "requestId": "request-1",
        "sealedPrivateKey": {"format": "age", "recipients": [], "openWith": "",
                             "ciphertext": pyrage.encrypt(plain, [recipient], armored=True).decode()},
    }  # fmt: skip
    return 201, {"Content-Type": "application/json"}, json.dumps({**content, **changes}).encode()


@contextmanager
def serving(
    reply: Callable[[dict[str, Any]], Reply], certificate: Path | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Serve a function that answers every order with `reply`; give its address and the paths asked for.

    A body that ends in dots goes on for 64 MiB.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            status, headers, body = reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            lengths = {} if body.endswith(b"...") else {"Content-Length": str(len(body))}
            for name, value in {**headers, **lengths}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            with suppress(OSError):  # the client has heard enough
                if body.endswith(b"..."):
                    self.wfile.write(bytes(64 << 20))
                    asked.append(HEARD_OUT)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def home_at(folder: Path, url: str) -> Home:
    return Home(folder, {"KP_URL": url, "KP_SECRET_ID": "demo", "KP_SECRET_KEY": SECRET})


def test_this_stand_in_is_believed_where_it_is_right(tmp_path: Path) -> None:
    with serving(lambda order: answer(order, pem(KEY))) as (url, _):
        home = home_at(tmp_path, url)
        home.run("create", "web_1")
        assert (home.ssh / "web_1").read_bytes() == pem(KEY)


WRONG: dict[str, Callable[[dict[str, Any]], Reply]] = {
    "another private key": lambda order: answer(order, pem(OTHER)),
    "another public key": lambda order: answer(order, pem(KEY), publicKey=public_key(OTHER)),
    "another fingerprint": lambda order: answer(order, pem(KEY), fingerprint=fingerprint(OTHER)),
    "another name": lambda order: answer(order, pem(KEY), keyName="web_2"),
    "no key at all": lambda order: answer(order, b"hello"),
    "half a key": lambda order: answer(order, pem(KEY)[:800]),
    "an envelope to somebody else": lambda order: answer(
        {**order, "recipients": [str(pyrage.x25519.Identity.generate().to_public())]}, pem(KEY)
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_key_that_is_not_the_announced_one_is_not_saved(tmp_path: Path, wrong: str) -> None:
    with serving(WRONG[wrong]) as (url, _):
        home = home_at(tmp_path, url)
        done = home.run("create", "web_1", status=9)
    assert not list(home.ssh.iterdir())
    assert "PRIVATE KEY" not in done.stderr
    assert len(home.pending()) == 1  # for whoever looks into it


def test_an_incomplete_answer(tmp_path: Path) -> None:
    reply = 201, {"Content-Type": "application/json"}, b'{"keyName": "web_1"}'
    with serving(lambda _order: reply) as (url, _):
        done = home_at(tmp_path, url).run("create", "web_1", status=8)
    assert "incomplete" in done.stderr


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """It would carry the signature to whomever it names."""
    with serving(lambda order: answer(order, pem(KEY))) as (elsewhere, asked):
        reply = 307, {"Location": f"{elsewhere}/v1/key-pairs"}, b""
        with serving(lambda _order: reply) as (url, _):
            done = home_at(tmp_path, url).run("create", "web_1", status=6)
    assert "redirects elsewhere" in done.stderr
    assert asked == []


@pytest.mark.parametrize("status", [200, 404])
def test_a_page_of_another_server(tmp_path: Path, status: int) -> None:
    reply = status, {"Content-Type": "text/html"}, b"<html>Please sign in to the network</html>"
    with serving(lambda _order: reply) as (url, _):
        home = home_at(tmp_path, url)
        done = home.run("create", "web_1", "--timeout", "2", status=None)
    assert done.returncode in {6, 7}
    assert not (home.ssh / "web_1").exists()


def test_an_endless_answer(tmp_path: Path) -> None:
    """The client stops reading after a megabyte."""
    reply = 201, {"Content-Type": "application/json"}, b'{"keyName": "...'
    with serving(lambda _order: reply) as (url, asked):
        home_at(tmp_path, url).run("create", "web_1", "--timeout", "2", status=7)
    assert HEARD_OUT not in asked


@pytest.mark.interpreter
def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    certificate = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "1",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    certificate.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "certificate.pem").read_bytes())
    with serving(lambda order: answer(order, pem(KEY)), certificate) as (url, asked):
        home = home_at(tmp_path, url)
        done = home.run("create", "web_1", status=7)
        assert "Trying again" not in done.stderr
        assert "TLS certificate" in done.stderr
        assert "TLS certificate" in home.run("doctor", status=3).stdout
    assert asked == []
    assert home.pending() == []
