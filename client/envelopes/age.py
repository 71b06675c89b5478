"""age envelopes: throw-away identities, identity files, SSH keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.errors import NotOpened, UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pyrage import ssh, x25519


def new_identity() -> tuple[str, str]:
    """Return an age identity that nothing else knows, and its recipient."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def open_with(envelope: str, identity: str) -> bytes:
    """Open an envelope with an identity in memory. Raises NotOpened."""
    from pyrage import x25519

    return _decrypt(envelope, [x25519.Identity.from_str(identity)])


def open_with_files(envelope: str, files: Sequence[Path], ask: Callable[[str], str]) -> bytes:
    """Open an envelope with identity files or SSH keys; `ask` is asked for their passphrases.

    Raises NotOpened or UsageProblem.
    """
    identities = [identity for file in files for identity in _identities(file, ask)]
    return _decrypt(envelope, identities)


def _identities(file: Path, ask: Callable[[str], str]) -> list[x25519.Identity | ssh.Identity]:
    import pyrage

    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageProblem(
            tr("{file} cannot be read: {error}", file=file, error=error.strerror),
            tr("Name the file with your private key."),
        ) from None
    if b"PRIVATE KEY-----" in content[:64]:
        return [pyrage.ssh.Identity.from_buffer(_without_passphrase(file, content, ask))]
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    found = [line for line in lines if line.upper().startswith("AGE-SECRET-KEY-")]
    if not found:
        advice = tr("Name the file with your private key.")
        if any(line.startswith(("ssh-", "age1")) for line in lines):
            advice = tr("That is the public half; name the private one, without .pub.")
        raise UsageProblem(tr("{file} contains no age identity and no SSH key.", file=file), advice)
    try:
        return [pyrage.x25519.Identity.from_str(line) for line in found]
    except pyrage.IdentityError:
        raise UsageProblem(
            tr("{file} contains an age identity that is damaged.", file=file), tr("Restore it from a backup.")
        ) from None


def _without_passphrase(file: Path, content: bytes, ask: Callable[[str], str]) -> bytes:
    """Return an SSH private key unencrypted, as pyrage takes no passphrases."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    from client.envelopes.keys import load_private_key

    key = load_private_key(file, content, ask)
    if not isinstance(key, (ed25519.Ed25519PrivateKey, rsa.RSAPrivateKey)):
        raise UsageProblem(
            tr("An age envelope cannot be opened with the key in {file}.", file=file),
            tr("Use the ssh-ed25519 or ssh-rsa key that it was sealed to."),
        )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def _decrypt(envelope: str, identities: Sequence[x25519.Identity | ssh.Identity]) -> bytes:
    import pyrage

    try:
        return pyrage.decrypt(envelope.encode(), identities)
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise NotOpened(
                tr("The envelope is sealed to another key."),
                tr("Name the key that it was sealed to: keypair open FILE --identity KEY"),
            ) from None
        raise NotOpened(
            tr("The envelope is damaged."), tr("Copy it again, from BEGIN to END, or ask for it again.")
        ) from None
