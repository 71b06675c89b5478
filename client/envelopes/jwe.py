"""JWE envelopes, opened with a JWK or a private key in PEM or OpenSSH form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from client.envelopes.keys import load_private_key
from client.errors import NotOpened, UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# What the function seals with; see docs/opening.md.
_ALGORITHMS = ["RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW", "A256GCM"]


def open_jwe(envelope: str, files: list[Path], ask: Callable[[str], str]) -> bytes:
    """Open an envelope with the first of the keys in `files` that fits. Raises NotOpened or UsageProblem."""
    from joserfc import jwe
    from joserfc.errors import JoseError

    if not files:
        raise UsageProblem(
            tr("A JWE envelope is opened with the private key that it was sealed to: JWK, PEM or SSH."),
            tr("Name it: keypair open FILE --identity KEY"),
        )
    # Its headers name the key pair, which the library would refuse; one recipient's key is enough.
    registry = jwe.JWERegistry(algorithms=_ALGORITHMS, verify_all_recipients=False, strict_check_header=False)
    for file in files:
        key = _key(file, ask)
        try:
            if envelope.startswith("{"):
                parsed: Any = json.loads(envelope)
                opened = jwe.decrypt_json(parsed, key, registry=registry).plaintext
            else:
                opened = jwe.decrypt_compact(envelope, key, registry=registry).plaintext
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if opened is not None:
            return opened
    raise NotOpened(
        tr("The envelope is sealed to another key, or damaged."),
        tr("Name the key that it was sealed to: keypair open FILE --identity KEY"),
    )


def _key(file: Path, ask: Callable[[str], str]) -> Any:  # noqa: ANN401  # joserfc's own union
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from joserfc import jwk

    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageProblem(
            tr("{file} cannot be read: {error}", file=file, error=error.strerror),
            tr("Name the file with your private key."),
        ) from None
    if content.lstrip().startswith(b"{"):
        try:
            parsed = json.loads(content)
            if isinstance(parsed.get("keys"), list):
                return jwk.KeySet.import_key_set(parsed)
            return jwk.import_key(_usable(parsed))
        except (ValueError, KeyError, TypeError):
            raise UsageProblem(
                tr("{file} is not a JWK.", file=file), tr("Name the file with your private key.")
            ) from None
    key = load_private_key(file, content, ask)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    kind: Any = jwk.OKPKey
    if isinstance(key, rsa.RSAPrivateKey):
        kind = jwk.RSAKey
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        kind = jwk.ECKey
    return kind.import_key(pem)


def _usable(parsed: dict[str, Any]) -> dict[str, Any]:
    """Take away what only restricts use: WebCrypto exports `key_ops: []`, which the library refuses."""
    return {name: value for name, value in parsed.items() if name not in {"key_ops", "use", "ext"}}
