"""Recipients that are refused, each with the reason."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handler.sealing.recipient_problems import PGP_RECIPIENT_LIMIT, RECIPIENT_LIMIT, RecipientProblem
from tests.support.function_under_test import RECIPIENT

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_P = 2**255 - 19


@dataclass(frozen=True)
class BadRecipient:
    title: str
    text: str
    problem: RecipientProblem


def bech32(human: str, data: bytes) -> str:
    """Encode as BIP 173 says."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[start : start + 5], 2) for start in range(0, len(bits), 5)]
    checksum = 1
    for value in [ord(c) >> 5 for c in human] + [0] + [ord(c) & 31 for c in human] + values + [0] * 6:
        top, checksum = checksum >> 25, (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            checksum ^= generator if top >> bit & 1 else 0
    values += [(checksum ^ 1) >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{human}1" + "".join(_ALPHABET[value] for value in values)


def ssh_line(*parts: bytes, word: str | None = None) -> str:
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"{word or parts[0].decode()} {base64.b64encode(blob).decode()}"


def rsa_line(exponent: int, modulus: int) -> str:
    numbers = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in (exponent, modulus)]
    return ssh_line(b"ssh-rsa", *numbers)


def ed25519_line(point: bytes) -> str:
    return ssh_line(b"ssh-ed25519", point)


# The points of Curve25519 whose shared secret is zero, as libsodium's block list has them, and the spellings
# with 19 more: little-endian, hexadecimal.
LOW_ORDER_X25519 = {
    "0": "00" * 32,
    "1": "01" + "00" * 31,
    "order 8": "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "order 8, the other": "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "p - 1": "ec" + "ff" * 30 + "7f",
    "p": "ed" + "ff" * 30 + "7f",
    "p + 1": "ee" + "ff" * 30 + "7f",
}
_LOW_ORDER_ED25519 = {
    "y = 1": "01" + "00" * 31,
    "y = -1": "ec" + "ff" * 30 + "7f",
    "y = 0": "00" * 32,
    "y = 0, signed": "00" * 31 + "80",
    "order 8, first": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "order 8, second": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "order 8, third": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "order 8, fourth": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}


def pem(label: str, content: str) -> str:
    return f"-----BEGIN {label}-----\n{content}\n-----END {label}-----\n"


PRIVATE = {
    "an age identity": str(RECIPIENT),
    "an age identity in lower case": str(RECIPIENT).lower(),
    "an age file": f"# created: 2026-11-24\n# public key: {RECIPIENT.to_public()}\n{RECIPIENT}\n",
    "an OpenSSH private key": pem("OPENSSH PRIVATE KEY", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"),
    "a PKCS#1 private key": pem("RSA PRIVATE KEY", "MIIEpAIBAAKCAQEAx8yCbV6yqXWs"),
    "a PKCS#8 private key": pem("PRIVATE KEY", "MIIEvQIBADANBgkqhkiG9w0BAQEF"),
    "an encrypted private key": pem("ENCRYPTED PRIVATE KEY", "MIIFHDBOBgkqhkiG9w0BBQ0wQTAp"),
    "a PGP private key": pem("PGP PRIVATE KEY BLOCK", "lQOYBGVxd3MBCADIJ4n7vE1hYw"),
    "a PuTTY key": "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAAIKz4",
    "a private JWK": '{"kty":"OKP","crv":"X25519","x":"hSDwCYkwp1R0i33c","d" : "dwdtCnMYpX08FsFyUbJmRd9M"}',
    "a private RSA JWK": '{"kty":"RSA","n":"0vx7ago","e":"AQAB","dp":"G4sPXkc6Ya9y8oJW9_ILj4"}',
    "a symmetric JWK": '{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}',
    "a private key behind a public one": f"{RECIPIENT.to_public()}\n{RECIPIENT}",
    "a private key that is too long": str(RECIPIENT) + " " * RECIPIENT_LIMIT,
    "a private key with control characters": "\x00" + str(RECIPIENT),
}
"""Private key material of every kind, whole and cut."""


def ed25519_point() -> bytes:
    return Ed25519PrivateKey.generate().public_key().public_bytes_raw()


def ecdsa_line(curve: ec.EllipticCurve | None = None) -> str:
    key = ec.generate_private_key(curve or ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


_GOOD_AGE = str(RECIPIENT.to_public())
_GOOD_ED25519 = ed25519_line(
    bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
)
RSA_2048 = (1 << 2047) + 12345
_P_256 = ssh_line(b"ecdsa-sha2-nistp256", b"nistp256", b"\x04" + b"\x11" * 64)

_R = RecipientProblem
BAD_RECIPIENTS = [
    *(BadRecipient(title, text, _R.PRIVATE) for title, text in PRIVATE.items()),
    BadRecipient("too long", "age1" + "q" * RECIPIENT_LIMIT, _R.TOO_LONG),
    BadRecipient("too long, of spaces", _GOOD_AGE + " " * RECIPIENT_LIMIT, _R.TOO_LONG),
    BadRecipient("a zero byte", _GOOD_AGE + "\x00", _R.CONTROL_CHARACTERS),
    BadRecipient("an escape", "\x1b[31m" + _GOOD_AGE, _R.CONTROL_CHARACTERS),
    BadRecipient("a delete", _GOOD_AGE[:9] + "\x7f" + _GOOD_AGE[9:], _R.CONTROL_CHARACTERS),
    BadRecipient("a byte order mark inside", _GOOD_AGE[:9] + "\ufeff" + _GOOD_AGE[9:], _R.CONTROL_CHARACTERS),
    BadRecipient(
        "a space that is none inside", _GOOD_AGE[:9] + "\u00a1" + _GOOD_AGE[9:], _R.CONTROL_CHARACTERS
    ),
    BadRecipient("Cyrillic \u0430", "\u0430" + _GOOD_AGE[1:], _R.CONTROL_CHARACTERS),
    BadRecipient("a lone surrogate", _GOOD_AGE + "\ud800", _R.CONTROL_CHARACTERS),
    BadRecipient("a line separator", _GOOD_ED25519 + "\u2028" + _GOOD_ED25519, _R.SEVERAL),
    BadRecipient("two age lines", f"{_GOOD_AGE}\n{_GOOD_AGE}", _R.SEVERAL),
    BadRecipient("two lines of old Macs", f"{_GOOD_AGE}\r{_GOOD_AGE}", _R.SEVERAL),
    BadRecipient("two ssh lines", f"{_GOOD_ED25519} one\n{_GOOD_ED25519} two", _R.SEVERAL),
    BadRecipient(
        "an SSH2 block", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----", _R.SSH2_BLOCK
    ),
    BadRecipient("empty", "", _R.UNKNOWN),
    BadRecipient("blank", " \t\n ", _R.UNKNOWN),
    BadRecipient("a word", "alice", _R.UNKNOWN),
    BadRecipient("an address", "github:alice", _R.UNKNOWN),
    BadRecipient("two age recipients on a line", f"{_GOOD_AGE} {_GOOD_AGE}", _R.SEVERAL),
    BadRecipient(
        "a public PEM line", "-----BEGIN PUBLIC KEY----- MIIB -----END PUBLIC KEY-----", _R.PEM_MALFORMED
    ),
    BadRecipient(
        "a public JWK, where escrow has none",
        '{"kty":"OKP","crv":"X25519","x":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}',
        _R.WITHOUT_ESCROW,
    ),
    BadRecipient("authorized_keys options", f'command="/bin/sh" {_GOOD_ED25519}', _R.SSH_OPTIONS),
    BadRecipient("a line of known_hosts", f"server.example.com,192.0.2.1 {_GOOD_ED25519}", _R.KNOWN_HOSTS),
    BadRecipient("a hashed line of known_hosts", f"|1|Zm9v=|YmFy= {_GOOD_ED25519}", _R.KNOWN_HOSTS),
    BadRecipient("words before a key", f"my key: {_GOOD_ED25519}", _R.SURROUNDING_TEXT),
    BadRecipient("a fingerprint", "SHA256:4n8aTroiMGqQZSs6v+ZQdaAwa4R2btRhDne2hiGLeUI", _R.FINGERPRINT),
    BadRecipient(
        "a fingerprint of ssh-keygen -l",
        "256 SHA256:4n8aTroiMGqQZSs6v+ZQdaAwa4R2btRhDne2hiGLeUI a@b (ED25519)",
        _R.FINGERPRINT,
    ),
    BadRecipient("a PGP fingerprint", "FCF10BC0A30DDA84BBD2CBE92E25B0C91C8B3F70", _R.PGP_FINGERPRINT),
    BadRecipient("the name of a file", "~/.ssh/id_ed25519.pub", _R.FILE_NAME),
    BadRecipient("the name of a file on Windows", "C:\\Users\\me\\key.pub", _R.FILE_NAME),
    BadRecipient("a web address", "https://github.com/alice.keys", _R.URL),
    BadRecipient("DER in base64", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE" + "ERER" * 21, _R.DER),
    BadRecipient("DER as Latin-1", "0\x82\x01\x22" + "\x30\x0d" * 99, _R.DER),
    BadRecipient(
        "a PGP block that is too long",
        pem("PGP PUBLIC KEY BLOCK", "\n" + "A" * PGP_RECIPIENT_LIMIT),
        _R.PGP_TOO_LONG,
    ),
    BadRecipient("an ssh blob alone", _GOOD_ED25519.split()[1], _R.SSH_MALFORMED),
    BadRecipient(
        "a mistyped age recipient",
        _GOOD_AGE[:20] + ("q" if _GOOD_AGE[20] != "q" else "p") + _GOOD_AGE[21:],
        _R.BECH32,
    ),
    BadRecipient("a cut age recipient", _GOOD_AGE[:-1], _R.BECH32),
    BadRecipient("an age recipient and more", _GOOD_AGE + "q", _R.BECH32),
    BadRecipient("the prefix alone", "age1", _R.BECH32),
    BadRecipient("a plugin", bech32("age1yubikey", b"\x02" * 33), _R.PLUGIN),
    BadRecipient("a plugin that is a path", bech32("age1/../../bin/sh", b"\x02" * 33), _R.PLUGIN),
    BadRecipient("a plugin of 32 bytes", bech32("age1x", b"\x09" + b"\x00" * 31), _R.PLUGIN),
    BadRecipient("a post-quantum recipient", bech32("age1pq", b"\x02" * 1216), _R.PLUGIN),
    BadRecipient("31 bytes", bech32("age", b"\x09" * 31), _R.PLUGIN),
    BadRecipient("33 bytes", bech32("age", b"\x09" * 33), _R.PLUGIN),
    *(
        BadRecipient(f"X25519 low order: {title}", bech32("age", bytes.fromhex(point)), _R.LOW_ORDER)
        for title, point in LOW_ORDER_X25519.items()
    ),
    BadRecipient("X25519: top bit set", bech32("age", b"\x09" + b"\x00" * 30 + b"\x80"), _R.UNUSABLE),
    BadRecipient("X25519: 9 as p + 9", bech32("age", (_P + 9).to_bytes(32, "little")), _R.UNUSABLE),
    BadRecipient("ecdsa off the curve", _P_256, _R.EC_POINT),
    BadRecipient(
        "ecdsa of a token", ssh_line(b"sk-ecdsa-sha2-nistp256@openssh.com", b"x"), _R.SSH_SECURITY_KEY
    ),
    BadRecipient("ed25519 of a token", ssh_line(b"sk-ssh-ed25519@openssh.com", b"x"), _R.SSH_SECURITY_KEY),
    BadRecipient("dss", ssh_line(b"ssh-dss", b"x"), _R.SSH_TYPE),
    BadRecipient("an RSA certificate", ssh_line(b"ssh-rsa-cert-v01@openssh.com", b"x"), _R.SSH_TYPE),
    BadRecipient("an ed25519 certificate", ssh_line(b"ssh-ed25519-cert-v01@openssh.com", b"x"), _R.SSH_TYPE),
    BadRecipient("no blob", "ssh-ed25519 ", _R.SSH_MALFORMED),
    BadRecipient("no base64", "ssh-ed25519 !!!!", _R.SSH_MALFORMED),
    BadRecipient("base64 that is cut", _GOOD_ED25519[:-1], _R.SSH_MALFORMED),
    BadRecipient(
        "a type that the blob contradicts",
        ssh_line(b"ssh-rsa", b"\x11" * 32, word="ssh-ed25519"),
        _R.SSH_MALFORMED,
    ),
    BadRecipient("an ecdsa blob under an RSA word", "ssh-rsa " + _P_256.split()[1], _R.SSH_MALFORMED),
    BadRecipient("31 bytes of ed25519", ed25519_line(b"\x11" * 31), _R.SSH_MALFORMED),
    BadRecipient(
        "a string behind ed25519", ssh_line(b"ssh-ed25519", b"\x11" * 32, b"more"), _R.SSH_MALFORMED
    ),
    BadRecipient("bytes behind ed25519", _GOOD_ED25519 + "AAAA", _R.SSH_MALFORMED),
    BadRecipient(
        "a string behind RSA",
        ssh_line(b"ssh-rsa", b"\x01\x00\x01", RSA_2048.to_bytes(257, "big"), b"more"),
        _R.SSH_MALFORMED,
    ),
    BadRecipient(
        "a negative exponent",
        ssh_line(b"ssh-rsa", b"\x81\x00\x01", RSA_2048.to_bytes(257, "big")),
        _R.SSH_MALFORMED,
    ),
    BadRecipient(
        "a needless zero",
        ssh_line(b"ssh-rsa", b"\x00\x01\x00\x01", RSA_2048.to_bytes(257, "big")),
        _R.SSH_MALFORMED,
    ),
    BadRecipient("no exponent", ssh_line(b"ssh-rsa", b"", RSA_2048.to_bytes(257, "big")), _R.SSH_MALFORMED),
    *(
        BadRecipient(f"Ed25519 low order: {title}", ed25519_line(bytes.fromhex(point)), _R.LOW_ORDER)
        for title, point in _LOW_ORDER_ED25519.items()
    ),
    BadRecipient("Ed25519: no such point", ed25519_line(b"\x02" + b"\x00" * 31), _R.ED25519_POINT),
    BadRecipient("Ed25519: y of p", ed25519_line(_P.to_bytes(32, "little")), _R.ED25519_POINT),
    BadRecipient("RSA of 1024 bits", rsa_line(65537, (1 << 1023) + 12345), _R.RSA_SIZE),
    BadRecipient("RSA of 2047 bits", rsa_line(65537, (1 << 2046) + 12345), _R.RSA_SIZE),
    BadRecipient("RSA of 4097 bits", rsa_line(65537, (1 << 4096) + 12345), _R.RSA_SIZE),
    BadRecipient("RSA of 16384 bits", rsa_line(65537, (1 << 16383) + 12345), _R.RSA_SIZE),
    BadRecipient("RSA with exponent 1", rsa_line(1, RSA_2048), _R.RSA_EXPONENT),
    BadRecipient("RSA with exponent 3", rsa_line(3, RSA_2048), _R.RSA_EXPONENT),
    BadRecipient("RSA with exponent 65535", rsa_line(65535, RSA_2048), _R.RSA_EXPONENT),
    BadRecipient("RSA with an even exponent", rsa_line(65538, RSA_2048), _R.RSA_EXPONENT),
    BadRecipient("RSA with an exponent that age cannot read", rsa_line(2**31 + 1, RSA_2048), _R.RSA_EXPONENT),
    BadRecipient("RSA with an even modulus", rsa_line(65537, (1 << 2047) + 12346), _R.RSA_MODULUS),
]
