import fcntl
import os
import queue
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_BITS = 2048
_WEAK_BITS = 1024
_READY = 4
_SAVED_AT_MOST = 400
_END = "-----END RSA PRIVATE KEY-----\n"


@dataclass(frozen=True)
class Key:
    """An RSA key: the private half as PKCS#1 PEM, the public half as `ssh-rsa BASE64` without a comment."""

    private_pem: str = field(repr=False)
    public_key: str


class KeyPool:
    """RSA-2048 keys generated in advance, because each takes tens of milliseconds.

    A pool file (mode 0600) keeps them for later runs. One process gives out each key once.

    Raises OSError or ValueError unless the pool file is a regular file that only its owner can read.
    """

    def __init__(self, pool_file: Path | None) -> None:
        self._pool_file = pool_file
        self._lock = threading.Lock()
        self._unused = _saved_keys(pool_file) if pool_file else []
        self._made: queue.Queue[str] = queue.Queue(maxsize=_READY)
        self._maker: threading.Thread | None = None
        self._make_ahead()
        self.handed_out: list[str] = []
        """Every private key that went into an answer, for tests that search for leaks."""

    def take(self) -> Key:
        """Return a key that this process has not used yet."""
        with self._lock:
            self._make_ahead()
            if self._unused:
                return _key(self._unused.pop())
        pem = self._made.get()
        if self._pool_file is not None:
            _save_key(self._pool_file, pem)
        return _key(pem)

    def put_back(self, key: Key) -> None:
        """Put back a key that was not given out after all."""
        with self._lock:
            self._unused.append(key.private_pem)

    def hand_out(self, key: Key) -> str:
        """Return the private half, and remember that it was given out."""
        self.handed_out.append(key.private_pem)
        return key.private_pem

    def _make_ahead(self) -> None:
        if self._maker is None and len(self._unused) < _READY:
            # cryptography releases the GIL while it generates a key.
            self._maker = threading.Thread(target=self._make_keys, daemon=True)
            self._maker.start()

    def _make_keys(self) -> None:
        while True:
            self._made.put(_new_pem(_BITS))


def weak_key() -> Key:
    """Generate an RSA-1024 key."""
    return _key(_new_pem(_WEAK_BITS))


def _new_pem(bits: int) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def _key(pem: str) -> Key:
    # Checking the primes would cost as much as generating the key, and this process generated it.
    private_key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    public_key = private_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return Key(private_pem=pem, public_key=public_key.decode())


def _saved_keys(pool_file: Path) -> list[str]:
    with _open_private(pool_file) as file:
        text = file.read().decode("ascii")
    return [pem + _END for pem in text.split(_END)[:-1]]


def _save_key(pool_file: Path, pem: str) -> None:
    with _open_private(pool_file) as file:
        if file.read().count(_END.encode()) < _SAVED_AT_MOST:
            file.write(pem.encode())


def _open_private(path: Path) -> BinaryIO:
    # The keys are worthless, but a file that others can write to would let them choose the "secret" keys.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    file = os.fdopen(descriptor, "rb+", buffering=0)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        file.close()
        raise ValueError(f"{path} must be a file that only its owner can use (mode 0600)")
    # Several emulators may share the file; the lock ends with the descriptor.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return file
