"""PGP certificates that pass the trial, but fail or protect nothing in the real sealing."""

from __future__ import annotations

import time

import pytest

from handler.errors import RecipientRefused
from handler.sealing import prepare_sealer
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.pgp_crafting import TO_ENCRYPT, Primary, block, four, packet, subkey, subpacket

PROBLEM = RecipientProblem
MADE = int(time.time()) - 900
"""When the certificates of these tests were made; PGP has no clock but the true one."""


def certificate(*, named: bytes = b"", bound: bytes = TO_ENCRYPT, key: bytes | None = None) -> str:
    primary = Primary(MADE)
    key = key or subkey(MADE)
    return block(primary.named(MADE, named) + packet(14, key) + primary.binding(key, MADE, bound))


def then(kind: int, subpackets: bytes, at: int) -> str:
    """Return a certificate with a further signature over its subkey, made at a time."""
    primary, key = Primary(MADE), subkey(MADE)
    return block(
        primary.named(MADE)
        + packet(14, key)
        + primary.binding(key, MADE)
        + primary.binding(key, at, subpackets, kind)
    )


def refusal(text: str) -> RecipientProblem | None:
    try:
        prepare_sealer([text], now=time.time())
    except RecipientRefused as refused:
        return refused.problem
    return None


def ends(at: int) -> bytes:
    return subpacket(3, four(at - MADE))


@pytest.mark.parametrize("native", [False, True])
def test_the_unmodified_certificates_are_accepted(native: bool) -> None:  # noqa: FBT001  # a parameter of pytest
    assert refusal(certificate(key=subkey(MADE, native=native))) is None


def test_a_block_without_a_key_is_malformed() -> None:
    marker = packet(10, b"PGP")  # RFC 9580 section 5.8: to be ignored
    assert refusal(block(marker)) is PROBLEM.PGP_MALFORMED


@pytest.mark.parametrize("seconds", [60, 119])
def test_a_signature_that_ends_while_a_key_pair_is_made(seconds: int) -> None:
    at = int(time.time()) + seconds
    assert refusal(certificate(bound=TO_ENCRYPT + ends(at))) is PROBLEM.PGP_EXPIRED
    assert refusal(certificate(named=ends(at))) is PROBLEM.PGP_EXPIRED


def test_a_signature_that_ends_later() -> None:
    at = int(time.time()) + 600
    assert refusal(certificate(named=ends(at), bound=TO_ENCRYPT + ends(at))) is None


@pytest.mark.parametrize(
    ("kind", "subpackets", "problem"),
    [
        (0x18, subpacket(27, b"\x00"), PROBLEM.PGP_USE),
        # RFC 9580 section 5.2.3.31: without a reason the subkey is revoked from the beginning
        (0x28, subpacket(29, b"\x00no longer"), PROBLEM.PGP_NO_SUBKEY),
        (0x28, subpacket(29, b"\x01replaced"), PROBLEM.PGP_USE),
    ],
    ids=["bound for nothing", "revoked", "replaced"],
)
def test_a_signature_that_is_not_yet_valid(kind: int, subpackets: bytes, problem: RecipientProblem) -> None:
    assert refusal(then(kind, subpackets, int(time.time()) + 60)) is problem


# RFC 7748 section 6.1: their shared secret is zero with every key.
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    "point",
    [
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ec" + "ff" * 30 + "7f",
    ],
)
def test_points_of_low_order_are_refused(point: str, native: bool) -> None:  # noqa: FBT001  # as above
    assert refusal(certificate(key=subkey(MADE, bytes.fromhex(point), native=native))) is PROBLEM.LOW_ORDER
