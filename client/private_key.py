"""The private key once it is open: checked against what the function announced, written as it is wanted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from client.errors import NotOpened
from client.language import tr

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True)
class PrivateKey:
    """A private RSA key that is known to be sound."""

    pem: bytes = field(repr=False)
    public_key: str
    """`ssh-rsa BLOB`, without a comment."""

    @property
    def fingerprint(self) -> str:
        """Return it as `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.public_key.split()[1])).digest()
        return "SHA256:" + base64.b64encode(digest).rstrip(b"=").decode()

    def written(self, key_format: str, comment: str) -> bytes:
        """Return the key in one of `client.order.FORMATS`."""
        if key_format == "ppk":
            return _ppk(_loaded(self.pem), self.public_key, comment)
        if key_format == "openssh":
            return _openssh(_loaded(self.pem), comment)
        return self.pem if self.pem.endswith(b"\n") else self.pem + b"\n"


def checked_private_key(plain: bytes, public_key: str = "", fingerprint: str = "") -> PrivateKey:
    """Return the key if it is sound and has the public half and the fingerprint that were announced.

    Raises NotOpened, without anything of the key.
    """
    found = _private_key(plain)
    # Raised out here: no exception may have the key in the frames that it holds.
    if found is None:
        raise NotOpened(
            tr("The envelope does not contain a valid private key."),
            tr("Do not use it. Tell the function's operator, with the request id."),
        )
    announced = " ".join(str(public_key).split()[:2])  # in pasted JSON it may be anything
    if (announced and announced != found.public_key) or (fingerprint and fingerprint != found.fingerprint):
        raise NotOpened(
            tr("The private key does not belong to the public key that was announced."),
            tr("Do not use it. Tell the function's operator, with the request id."),
        )
    return found


def _private_key(plain: bytes) -> PrivateKey | None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding

    try:
        key = _loaded(plain)
        public = key.public_key()
        # That the two halves belong together: what one signs the other one verifies.
        signature = key.sign(b"", padding.PKCS1v15(), hashes.SHA256())
        public.verify(signature, b"", padding.PKCS1v15(), hashes.SHA256())
        written = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    except Exception:  # noqa: BLE001  # whatever a parser raises over a key: it may quote the key
        return None
    return PrivateKey(plain, written.decode())


def _loaded(plain: bytes) -> rsa.RSAPrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    load = (
        serialization.load_ssh_private_key
        if b"OPENSSH PRIVATE KEY" in plain[:64]
        else serialization.load_pem_private_key
    )
    key = load(plain, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("not RSA")
    return key


def _openssh(key: rsa.RSAPrivateKey, comment: str) -> bytes:
    """Write openssh-key-v1 without a passphrase, with a comment, which the library cannot.

    https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key
    """
    numbers = key.private_numbers()
    e, n = numbers.public_numbers.e, numbers.public_numbers.n
    public = _text(b"ssh-rsa") + _number(e) + _number(n)
    # The two check integers only have to be equal where nothing is encrypted; constant, so that the same
    # key gives the same file.
    private = b"\0" * 8 + _text(b"ssh-rsa")
    private += b"".join(_number(part) for part in (n, e, numbers.d, numbers.iqmp, numbers.p, numbers.q))
    private += _text(comment.encode())
    private += bytes(range(1, 1 + -len(private) % 8))
    content = b"openssh-key-v1\0" + _text(b"none") * 2 + _text(b"") + struct.pack(">I", 1)
    return _block("OPENSSH PRIVATE KEY", content + _text(public) + _text(private), 70)


def _ppk(key: rsa.RSAPrivateKey, public_key: str, comment: str) -> bytes:
    """Write PuTTY's format, version 3, without a passphrase.

    https://the.earth.li/~sgtatham/putty/latest/htmldoc/AppendixC.html
    """
    numbers = key.private_numbers()
    public = base64.b64decode(public_key.split()[1])
    private = b"".join(_number(part) for part in (numbers.d, numbers.p, numbers.q, numbers.iqmp))
    covered = b"".join(_text(part) for part in (b"ssh-rsa", b"none", comment.encode(), public, private))
    # C.4: without a passphrase the MAC's key is empty.
    mac = hmac.new(b"", covered, hashlib.sha256).hexdigest()
    lines = ["PuTTY-User-Key-File-3: ssh-rsa", "Encryption: none", f"Comment: {comment}"]
    for label, content in (("Public", public), ("Private", private)):
        encoded = _wrapped(content, 64)
        lines += [f"{label}-Lines: {len(encoded)}", *encoded]
    lines.append(f"Private-MAC: {mac}")
    return ("\n".join(lines) + "\n").encode()


def _text(content: bytes) -> bytes:
    """Encode a string (RFC 4251 section 5)."""
    return struct.pack(">I", len(content)) + content


def _number(number: int) -> bytes:
    """Encode an mpint (RFC 4251 section 5): one zero byte more where the highest bit would be a sign."""
    return _text(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _block(label: str, content: bytes, width: int) -> bytes:
    lines = [f"-----BEGIN {label}-----", *_wrapped(content, width), f"-----END {label}-----", ""]
    return "\n".join(lines).encode()


def _wrapped(content: bytes, width: int) -> list[str]:
    encoded = base64.b64encode(content).decode()
    return [encoded[start : start + width] for start in range(0, len(encoded), width)]
