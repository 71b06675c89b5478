"""People with keys that openssl knows, for the tests of CMS."""

from __future__ import annotations

import datetime as dt
import functools
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretBytes

from handler import sealing
from handler.sealing import Contents
from tests.support.function_under_test import NOON

if TYPE_CHECKING:
    from pathlib import Path

    from handler.sealing import Sealer

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

SECRET = b"some secret text"
CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "EC certificate": ec.SECP256R1(),
}
KINDS = ("RSA", "RSA certificate", *CURVES)

prepare_sealer = functools.partial(sealing.prepare_sealer, now=NOON)


def seal(envelope: Sealer, plaintext: bytes = SECRET) -> str:
    return envelope.seal(SecretBytes(plaintext), Contents("skey-12345678", "name", "SHA256:fingerprint"))


def openssl(*arguments: str | Path, stdin: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *arguments], input=stdin.encode(), capture_output=True, check=False)


@dataclass(frozen=True)
class Owner:
    """Somebody with a private key in a file, and what they send: PEM."""

    key: PrivateKey
    text: str
    path: Path

    def open(self, sealed: str, *more: str | Path) -> subprocess.CompletedProcess[bytes]:
        return openssl("cms", "-decrypt", "-inform", "PEM", "-inkey", self.path, *more, stdin=sealed)

    def opens(self, sealed: str, plaintext: bytes = SECRET) -> bool:
        done = self.open(sealed)
        return (done.returncode, done.stdout, done.stderr) == (0, plaintext, b"")


def make_owner(kind: str, path: Path, number: int = 0) -> Owner:
    """Make an owner with a fresh key, or the RSA key of this number."""
    key = rsa_key(number) if kind.startswith("RSA") else ec.generate_private_key(CURVES[kind])
    if kind.endswith("certificate"):
        return owner_of(key, certified(key), path)
    text = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return owner_of(key, text, path)


def owner_of(key: PrivateKey, text: str, path: Path) -> Owner:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Owner(key, text, path)


@functools.cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    """Make a key once: the bare ones serve in certificates too."""
    del number
    return rsa.generate_private_key(65537, 2048)


def certified(key: PrivateKey) -> str:
    """Return what a CA would issue: another issuer than subject, and the usual extensions."""
    issuer = x509.Name(
        [x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(NameOID.TITLE, "é")]
    )
    day = dt.datetime(2026, 11, 24, tzinfo=dt.timezone.utc)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=isinstance(key, rsa.RSAPrivateKey),
        data_encipherment=False,
        key_agreement=isinstance(key, ec.EllipticCurvePrivateKey),
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder(issuer, x509.Name([]), key.public_key(), x509.random_serial_number())
        .not_valid_before(day)
        .not_valid_after(day + dt.timedelta(days=1))
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()
