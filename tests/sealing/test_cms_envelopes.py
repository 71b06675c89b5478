"""Each recipient can open a CMS envelope alone, with the real openssl."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.support.cms_owners import KINDS, SECRET, Owner, make_owner, openssl, prepare_sealer, seal
from tests.support.pem_attacks import der_of, integer, pem, sequence, tlv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process


@pytest.fixture
def owners(tmp_path: Path) -> dict[str, Owner]:
    return {kind: make_owner(kind, tmp_path / f"{kind}.pem") for kind in KINDS}


def test_each_of_several_opens_it_alone(owners: dict[str, Owner], tmp_path: Path) -> None:
    more = {kind: make_owner(kind, tmp_path / f"{kind}-2.pem", 1) for kind in KINDS}
    everybody = [*owners.values(), *more.values()]
    sealed = seal(prepare_sealer([owner.text for owner in everybody]))
    assert [owner.opens(sealed) for owner in everybody] == [True] * 12
    assert not make_owner("RSA", tmp_path / "other.pem", 2).opens(sealed)
    assert not make_owner("P-256", tmp_path / "other.pem").opens(sealed)


@pytest.mark.parametrize("kind", ["RSA certificate", "EC certificate"])
def test_a_certificate_finds_its_key(kind: str, owners: dict[str, Owner], tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text(owners[kind].text)
    sealed = seal(prepare_sealer([owner.text for owner in owners.values()]))
    opened = owners[kind].open(sealed, "-recip", tmp_path / "cert.pem")
    assert (opened.returncode, opened.stdout) == (0, SECRET)
    # Only by issuer and serial number: one byte of either, and it is another certificate.
    for changed, name, _ in flips(der_of(seal(prepare_sealer([owners[kind].text])))):
        if name in ("issuer's value", "serial number"):
            refused = owners[kind].open(pem("CMS", changed), "-recip", tmp_path / "cert.pem")
            assert (refused.returncode, refused.stdout) == (4, b"")


@pytest.mark.parametrize("kind", ["RSA", "P-256"])
def test_secrets_are_fresh_in_every_envelope(kind: str, owners: dict[str, Owner]) -> None:
    envelope = prepare_sealer([owners[kind].text])
    sealed = [der_of(seal(envelope)) for _ in range(2)]
    one, other = ({name: der[start:end] for name, start, end in named_leaves(der)} for der in sealed)
    changed = {name for name, value in one.items() if value != other[name]}
    fresh = {"encrypted key", "nonce", "ciphertext", "tag"}
    assert changed == (fresh if kind == "RSA" else fresh | {"ephemeral key"})
    key = owners[kind].key
    if isinstance(key, rsa.RSAPrivateKey):
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)
        content_keys = {key.decrypt(fields["encrypted key"], oaep) for fields in (one, other)}
        assert [len(content_key) for content_key in content_keys] == [32, 32]


# ---------------------------------------------------------------- what is in it

KEY_TRANSPORT = (
    "OAEP", "OAEP's hash", "OAEP's hash's NULL", "MGF1", "MGF1's hash", "MGF1's hash's NULL", "encrypted key",
)  # fmt: skip
KEY_AGREEMENT = ("key type", "ephemeral key", "KDF", "key wrap")
CERTIFICATE = ("issuer's type", "issuer's value", "issuer's type", "issuer's value", "serial number")
LEAVES = {
    "RSA": ("key identifier", *KEY_TRANSPORT),
    "EC": (*KEY_AGREEMENT, "key identifier", "encrypted key"),
    "RSA certificate": (*CERTIFICATE, *KEY_TRANSPORT),
    "EC certificate": (*KEY_AGREEMENT, *CERTIFICATE, "encrypted key"),
}
HARMLESS = {
    "version": "openssl reads past version numbers",
    "recipient's version": "the same",
    "key identifier": "a hint: without a certificate openssl tries its key on each recipient",
    "issuer's type": "the same, without a certificate",
    "issuer's value": "the same",
    "serial number": "the same",
    "inner content type": "openssl prints whatever is in it",
    "tag length": "openssl goes by the tag that is there, and takes none shorter than 16 bytes",
    "ephemeral key": "of its first byte, the number of unused bits: a bit less, which was 0 at any rate",
}


def leaves(der: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Find where the contents of all primitive values stand; written apart from the encoder."""
    end = len(der) if end is None else end
    while start < end:
        tag, length, start = der[start], der[start + 1], start + 2
        if length >= 0x80:
            octets = length - 0x80
            length, start = int.from_bytes(der[start : start + octets], "big"), start + octets
        yield from leaves(der, start, start + length) if tag & 0x20 else [(start, start + length)]
        start += length


def named_leaves(der: bytes) -> list[tuple[str, int, int]]:
    found = list(leaves(der))
    by_length = {3 + len(names) + 6: names for names in LEAVES.values()}
    assert len(by_length) == len(LEAVES)
    names = (
        "content type", "version", "recipient's version", *by_length[len(found)],
        "inner content type", "cipher", "nonce", "tag length", "ciphertext", "tag",
    )  # fmt: skip
    return [(name, start, end) for name, (start, end) in zip(names, found, strict=True)]


def flips(der: bytes) -> Iterator[tuple[bytes, str, int]]:
    """Flip a bit of each byte of each leaf; say of which leaf and which of its bytes."""
    for name, start, end in named_leaves(der):
        for place in range(start, end):
            yield der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :], name, place - start


@pytest.mark.parametrize("kind", ["RSA", "P-256", "RSA certificate", "EC certificate"])
def test_a_change_anywhere_is_noticed(kind: str, owners: dict[str, Owner]) -> None:
    der = der_of(seal(prepare_sealer([owners[kind].text])))
    unnoticed = set()
    for changed, name, place in flips(der):
        opened = owners[kind].open(pem("CMS", changed))
        if opened.returncode == 0:
            assert opened.stdout == SECRET
            assert name != "ephemeral key" or place == 0
            unnoticed.add(name)
        else:
            assert opened.returncode in (2, 4)
    assert unnoticed - {"ephemeral key"} == {name for name, *_ in named_leaves(der)} & set(HARMLESS) - {
        "ephemeral key"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_shows_what_the_rfcs_ask_for(kind: str, owners: dict[str, Owner]) -> None:
    sealed = seal(prepare_sealer([owners[kind].text]))
    print_it = ("cms", "-cmsout", "-print", "-noout", "-inform", "PEM")
    shown = " ".join(openssl(*print_it, stdin=sealed).stdout.decode().split())
    has_certificate, is_rsa = kind.endswith("certificate"), kind.startswith("RSA")
    expected = [
        "contentType: id-smime-ct-authEnvelopedData (1.2.840.113549.1.9.16.1.23) d.auth",
        "d.authEnvelopedData: version: 0 originatorInfo: <ABSENT>",
        "authEncryptedContentInfo: contentType: pkcs7-data (1.2.840.113549.1.7.1)",
        "algorithm: aes-256-gcm (2.16.840.1.101.3.4.1.46)",
        "authAttrs: <ABSENT>",
        "unauthAttrs: <ABSENT>",
        "d.issuerAndSerialNumber:" if has_certificate else "ubjectKeyIdentifier:",
    ]
    if is_rsa:
        expected += [
            f"d.ktri: version: {0 if has_certificate else 2} ",
            "algorithm: rsaesOaep (1.2.840.113549.1.1.7)",
            ":mgf1",
        ]
        assert shown.count(":sha256") == 2
    else:
        expected += [
            "d.kari: version: 3",
            "d.originatorKey: algorithm: algorithm: id-ecPublicKey (1.2.840.10045.2.1) parameter: <ABSENT>",
            "ukm: <ABSENT>",
            "algorithm: dhSinglePass-stdDH-sha256kdf-scheme (1.3.132.1.11.1)",
            ":id-aes256-wrap",
        ]
    assert [part for part in expected if part not in shown] == []
    if has_certificate:
        loaded = x509.load_pem_x509_certificate(owners[kind].text.encode())
        named = sequence(loaded.issuer.public_bytes(), integer(loaded.serial_number))
        assert named in der_of(sealed)
    else:
        digest = x509.SubjectKeyIdentifier.from_public_key(owners[kind].key.public_key()).digest
        assert tlv(0x80 if is_rsa else 0x04, digest) in der_of(sealed)


@pytest.mark.slow
def test_short_coordinates_and_secrets(tmp_path: Path) -> None:
    """One number in 256 begins with a zero byte. Without it, nobody could open the envelope."""
    short = {"recipient": 0, "ephemeral": 0, "secret": 0}
    for number in range(20_000):
        owner = make_owner("P-521" if number % 10 == 0 else "P-256", tmp_path / "key.pem")
        sealed = seal(prepare_sealer([owner.text]))
        assert owner.opens(sealed), owner.text
        key = owner.key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        if key.curve.key_size == 521:
            continue  # whose first byte is zero every other time
        ((start, end),) = [found for name, *found in named_leaves(der_of(sealed)) if name == "ephemeral key"]
        ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, der_of(sealed)[start + 1 : end])
        for whose, public_key in (("recipient", key.public_key()), ("ephemeral", ephemeral)):
            point = public_key.public_numbers()
            short[whose] += min(point.x, point.y) < 1 << 248
        short["secret"] += key.exchange(ec.ECDH(), ephemeral)[0] == 0
        if min(short.values()) > 0:
            return
    pytest.fail(f"none began with a zero byte: {short}")
