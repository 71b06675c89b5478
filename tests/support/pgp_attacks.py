"""PGP blocks that are refused, each with the reason; most are made anew, by GnuPG."""

from __future__ import annotations

import functools
import hashlib
import re
import time
import zlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from pysequoia import ArmorKind, Cert, Tsk, armor

from handler.sealing.recipient_problems import EXPORT_SMALL_PGP_KEY, RecipientProblem
from tests.support.pgp_crafting import packet
from tests.support.pgp_owners import key_ring, split
from tests.support.recipient_attacks import BadRecipient, pem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pgp_owners import Gpg

_R = RecipientProblem
_PUBLIC = "PGP PUBLIC KEY BLOCK"
_MINIMAL = EXPORT_SMALL_PGP_KEY.split()[2:4]
_LONG_AGO = "20200101T000000"
_IN_THE_FUTURE = "20990101T000000"


def block(packets: bytes) -> str:
    return armor(packets, ArmorKind.PublicKey)


def _number(value: int) -> bytes:
    return value.bit_length().to_bytes(2, "big") + value.to_bytes((value.bit_length() + 7) // 8, "big")


def _ancient() -> str:
    """Return a version 3 key, as PGP 2.6 made them."""
    key = b"\x03" + (800_000_000).to_bytes(4, "big") + bytes(2) + b"\x01"
    return block(
        packet(6, key + _number((1 << 2047) + 12345) + _number(17)) + packet(13, b"Old <old@example.com>")
    )


def rsa_block(exponent: int) -> str:
    """Return a key that is one RSA key for everything; no program makes one with an odd exponent."""
    secret = rsa.generate_private_key(exponent, 2048)
    numbers = _number(secret.public_key().public_numbers().n) + _number(exponent)
    now = int(time.time()).to_bytes(4, "big")
    key, name = b"\x04" + now + b"\x01" + numbers, b"Owner"
    # RFC 9580 section 5.2.3: a positive certification with SHA-256, the time, and flags for every use
    subpackets = b"\x05\x02" + now + b"\x02\x1b\x0f"
    fields = b"\x04\x13\x01\x08" + len(subpackets).to_bytes(2, "big") + subpackets
    # section 5.2.4: what is hashed
    hashed = b"\x99" + len(key).to_bytes(2, "big") + key + b"\xb4" + len(name).to_bytes(4, "big") + name
    hashed += fields + b"\x04\xff" + len(fields).to_bytes(4, "big")
    signed = int.from_bytes(secret.sign(hashed, padding.PKCS1v15(), SHA256()), "big")
    digest = hashlib.sha256(hashed).digest()
    signature = fields + bytes(2) + digest[:2] + _number(signed)
    return block(packet(6, key) + packet(13, name) + packet(2, signature))


def _bomb() -> str:
    """Return what takes 200 MB: what compresses to little compresses again."""
    layers = packet(11, bytes(200_000_000))
    for _ in range(2):
        deflate = zlib.compressobj(9, wbits=-15)
        layers = packet(8, b"\x01" + deflate.compress(layers) + deflate.flush())
    return block(layers)


@functools.cache
def bad_pgp() -> tuple[BadRecipient, ...]:
    """Return the rows; it takes seconds the first time."""
    with key_ring() as gpg:
        return (*_dead(gpg), *_unfit(gpg), *_private(gpg), *_malformed(gpg))


def _dead(gpg: Gpg) -> Iterator[BadRecipient]:
    secret = Tsk.generate("revoked")
    certificate = secret.extract_certificate()
    revocation = bytes(certificate.revoke(secret.certifier()))
    yield BadRecipient("revoked", block(bytes(certificate) + revocation), _R.PGP_REVOKED)

    revoked = gpg.make()
    commands = ["key 1", "revkey", "y", "0", "", "y", "save"]
    gpg.run("--command-fd", "0", "--no-tty", "--edit-key", revoked, given="\n".join([*commands, ""]))
    yield BadRecipient("with a revoked subkey", gpg.public(revoked), _R.PGP_NO_SUBKEY)

    expired = gpg.make(expire="1y", now=_LONG_AGO)
    yield BadRecipient("expired", gpg.public(expired), _R.PGP_EXPIRED)
    small = gpg.public(expired, options=_MINIMAL)
    yield BadRecipient("expired, in a minimal export", small, _R.PGP_EXPIRED)
    expired = gpg.make("ed25519", "sign", subkey=("cv25519", "encr", "1y"), now=_LONG_AGO)
    yield BadRecipient("with an expired subkey", gpg.public(expired), _R.PGP_EXPIRED)
    small = gpg.public(expired, options=_MINIMAL)
    yield BadRecipient("with an expired subkey, in a minimal export", small, _R.PGP_NO_SUBKEY)
    fresh = bytearray(split(gpg.public(gpg.make()))[4].body)
    fresh[1] = 0x28  # no longer a binding
    stray = b"".join(map(bytes, split(gpg.public(expired)))) + packet(2, bytes(fresh))
    yield BadRecipient("with an expired subkey and a stray signature", block(stray), _R.PGP_EXPIRED)
    early = gpg.make(now=_IN_THE_FUTURE)
    yield BadRecipient("made in the future", gpg.public(early), _R.PGP_USE)


def _unfit(gpg: Gpg) -> Iterator[BadRecipient]:
    yield BadRecipient("for signatures only", gpg.public(gpg.make("ed25519", "sign")), _R.PGP_NO_SUBKEY)
    short = gpg.make("rsa1024", "sign", subkey=("rsa1024", "encr"))
    yield BadRecipient("RSA of 1024 bits", gpg.public(short), _R.RSA_SIZE)
    short = gpg.make("ed25519", "sign", subkey=("rsa1024", "encr"))
    yield BadRecipient("a subkey of 1024 bits", gpg.public(short), _R.RSA_SIZE)
    short = gpg.make("rsa1024", "sign", subkey=("cv25519", "encr"))
    yield BadRecipient("under a key of 1024 bits", gpg.public(short), _R.RSA_SIZE)
    yield BadRecipient("RSA with an exponent of 3", rsa_block(3), _R.RSA_EXPONENT)
    old = gpg.make("dsa1024", "sign", subkey=("elg1024", "encr"))
    yield BadRecipient("DSA and ElGamal", gpg.public(old), _R.PGP_USE)
    weak = gpg.make(options=["--cert-digest-algo", "SHA1"])
    yield BadRecipient("signed with SHA-1", gpg.public(weak), _R.PGP_SHA1)
    weak = gpg.make(options=["--cert-digest-algo", "RIPEMD160"])
    yield BadRecipient("signed with RIPEMD", gpg.public(weak), _R.PGP_SHA1)
    whole = split(gpg.public(gpg.make()))
    unknown = packet(6, bytes(whole[0].body[:5]) + b"\x63" + bytes(40))
    yield BadRecipient("of no known algorithm", block(unknown), _R.PGP_USE)
    yield BadRecipient("without its subkey", block(b"".join(map(bytes, whole[:3]))), _R.PGP_NO_SUBKEY)
    yield BadRecipient(
        "without the subkey's binding", block(b"".join(map(bytes, whole[:4]))), _R.PGP_NO_SUBKEY
    )
    yield BadRecipient("with its first key alone", block(bytes(whole[0])), _R.PGP_USE)
    other = split(gpg.public(gpg.make()))
    swapped = block(b"".join(map(bytes, [*whole[:3], *other[3:]])))
    yield BadRecipient("with the subkey of another", swapped, _R.PGP_NO_SUBKEY)


def _private(gpg: Gpg) -> Iterator[BadRecipient]:
    secret = gpg.secret(gpg.make())
    yield BadRecipient("a private key", secret, _R.PRIVATE)
    relabelled = secret.replace("PRIVATE KEY", "PUBLIC KEY")
    yield BadRecipient("a private key labelled as public", relabelled, _R.PRIVATE)
    packets = split(relabelled)
    public = [bytes(found) for found in split(str(Cert.from_bytes(relabelled.encode())))]
    subkey = block(b"".join([*public[:3], *map(bytes, packets[3:])]))
    yield BadRecipient("a private subkey", subkey, _R.PRIVATE)
    two = gpg.secret(gpg.make()).replace("PRIVATE KEY", "PUBLIC KEY")
    both = bytes(packets[0]) + b"".join(map(bytes, split(two)))
    yield BadRecipient("two private keys", block(both), _R.PRIVATE)


def _malformed(gpg: Gpg) -> Iterator[BadRecipient]:
    first, second = gpg.make(), gpg.make()
    good = gpg.public(first)
    lines = good.splitlines()
    yield BadRecipient("two keys in a block", gpg.public(first, second), _R.SEVERAL)
    yield BadRecipient("two blocks", good + gpg.public(second), _R.SEVERAL)
    yield BadRecipient("two ends", good + lines[-1], _R.PGP_MALFORMED)
    yield BadRecipient(
        "another block's end", good.replace(f"END {_PUBLIC}", "END PGP MESSAGE"), _R.PGP_MALFORMED
    )
    yield BadRecipient("an odd label before", f"-----BEGIN key-----\n{good}", _R.PGP_MALFORMED)
    yield BadRecipient("without its end", "\n".join(lines[:-1]), _R.PGP_MALFORMED)
    yield BadRecipient("without its middle", "\n".join(lines[:4] + lines[-2:]), _R.PGP_MALFORMED)
    yield BadRecipient("with a strange character", good.replace(lines[3][:4], "!?*#"), _R.PGP_MALFORMED)
    yield BadRecipient("empty", pem(_PUBLIC, "\n\n"), _R.PGP_MALFORMED)
    yield BadRecipient("random", pem(_PUBLIC, "\nZm9vIGJhciBiYXogcXV4IGZvbyBiYXI="), _R.PGP_MALFORMED)
    yield BadRecipient("a version 3 key", _ancient(), _R.PGP_MALFORMED)
    packets = bytes(Cert.from_bytes(good.encode()))
    yield BadRecipient("a packet of no known kind", block(packets + packet(60, b"?")), _R.PGP_MALFORMED)
    yield BadRecipient("compressed", block(packet(8, b"\x00" + packets)), _R.PGP_MALFORMED)
    yield BadRecipient("200 MB", _bomb(), _R.PGP_MALFORMED)

    message = ["--trust-model", "always", "--recipient", first, "--encrypt"]
    signature = ["--local-user", first, "--detach-sign"]
    for title, arguments in {"a message": message, "a signature": signature}.items():
        other = gpg.run("--armor", *arguments, given="text").stdout.decode()
        yield BadRecipient(title, other, _R.PEM_TYPE)
        relabelled = re.sub(r"(BEGIN|END) PGP \w+", rf"\1 {_PUBLIC}", other)
        yield BadRecipient(f"{title} labelled as a key", relabelled, _R.PGP_MALFORMED)
