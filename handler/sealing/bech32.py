"""Bech32 (BIP 173), the text form of age recipients.

pyrage decodes it too, but reveals neither the human-readable part, which distinguishes a plugin from a key,
nor the bytes, which are vetted before pyrage sees them.
"""

from __future__ import annotations

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH = 6


def decode(text: str) -> tuple[str, bytes]:
    """Return the human-readable part and the bytes of `text`; raise ValueError.

    Lower case only, as age writes it. Like age, this ignores the length limit of BIP 173.
    """
    human, separator, data = text.rpartition("1")
    if not separator or not human or text != text.lower() or not all("!" <= c <= "~" for c in human):
        raise ValueError("not bech32")
    if len(data) < _CHECKSUM_LENGTH or any(character not in _ALPHABET for character in data):
        raise ValueError("not bech32")
    values = [_ALPHABET.index(character) for character in data]
    expanded = [ord(character) >> 5 for character in human] + [0] + [ord(c) & 31 for c in human]
    if _polymod(expanded + values) != 1:
        raise ValueError("checksum")
    return human, _bytes(values[:-_CHECKSUM_LENGTH])


def is_valid(text: str) -> bool:
    """Return whether `decode` accepts `text`."""
    try:
        decode(text)
    except ValueError:
        return False
    return True


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            checksum ^= generator if (top >> bit) & 1 else 0
    return checksum


def _bytes(values: list[int]) -> bytes:
    number = 0
    for value in values:
        number = number << 5 | value
    padding = len(values) * 5 % 8
    # BIP 173: at most 4 bits of padding, all zero. Anything else would be a second encoding.
    if padding > 4 or number & ((1 << padding) - 1):  # noqa: PLR2004  # bits
        raise ValueError("padding")
    return (number >> padding).to_bytes(len(values) * 5 // 8, "big")
