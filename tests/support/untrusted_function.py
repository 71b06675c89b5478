"""A function that does not keep to the contract, for tests of what the client makes of it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pyrage
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


def certificate_for(folder: Path, host: str) -> Path:
    """Return a file with a certificate that signs itself, and its key."""
    certificate = folder / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=function", "-days", "1",
         "-addext", f"subjectAltName=IP:{host}",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    certificate.write_bytes((folder / "key.pem").read_bytes() + (folder / "certificate.pem").read_bytes())
    return certificate


@contextmanager
def serving(
    reply: Callable[[dict[str, Any]], Reply], certificate: Path | None = None, host: str = "127.0.0.1"
) -> Iterator[tuple[str, list[str]]]:
    """Serve a function that answers with `reply`; give its address and the paths asked for.

    A body that ends in dots goes on for 64 MiB. With status 0 the body is sent outside of TLS.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_GET(self) -> None:
            self.send({})

        def do_DELETE(self) -> None:
            self.send({})

        def send(self, order: dict[str, Any]) -> None:
            asked.append(self.path)
            status, headers, body = reply(order)
            if not status:
                os.write(self.connection.fileno(), body)
                return
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

    server = ThreadingHTTPServer((host, 0), Handler)
    scheme = "http"
    if certificate:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{scheme}://{host}:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def home_at(folder: Path, url: str) -> Home:
    return Home(folder, {"KP_URL": url, "KP_SECRET_ID": "demo", "KP_SECRET_KEY": SECRET})
