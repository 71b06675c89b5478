"""PGP keys that are refused, and why. All others can be sealed to."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretBytes
from pysequoia import Cert

from handler.errors import RecipientRefused, SealingFailed
from handler.sealing import prepare_sealer
from handler.sealing.openpgp import OpenPgpSealer, Recipient, _attempt
from handler.sealing.recipient_problems import (
    ADD_PGP_SUBKEY,
    EXPORT_SMALL_PGP_KEY,
    EXTEND_PGP_SUBKEY,
    LIST_PGP_SUBKEYS,
    RecipientProblem,
)
from tests.support.function_under_test import REST
from tests.support.leaks import chain, values_in_frames
from tests.support.pgp_attacks import bad_pgp, block, rsa_block
from tests.support.pgp_crafting import packet
from tests.support.pgp_owners import CONTENTS, Gpg, seal, split
from tests.support.random_cases import examples
from tests.support.recipient_attacks import bech32

if TYPE_CHECKING:
    from tests.support.function_under_test import FunctionUnderTest

YEAR = 365 * 86400
LONG_AGO = "20200101T000000"


@pytest.fixture(scope="module")
def good(gpg: Gpg) -> str:
    return gpg.public(gpg.make())


def refusal(text: str, now: float) -> RecipientProblem | None:
    caught = None
    try:
        prepare_sealer([text], now=now)
    except RecipientRefused as refused:
        caught = refused
    if caught is None:
        return None
    assert caught.position == 0
    assert {type(error) for error in chain(caught)} == {RecipientRefused}
    return caught.problem


@pytest.mark.slow
def test_bad_blocks_are_refused_for_the_right_reason() -> None:
    now = time.time()
    assert {row.title: refusal(row.text, now) for row in bad_pgp()} == {
        row.title: row.problem for row in bad_pgp()
    }


@pytest.mark.slow
def test_compressed_packets_are_refused_before_they_take_memory() -> None:
    bomb = next(row.text for row in bad_pgp() if row.title == "200 MB")
    program = """
import re, sys
from pathlib import Path
from handler.errors import RecipientRefused
from handler.sealing import prepare_sealer, openpgp
def peak():
    return int(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
try:
    prepare_sealer([sys.stdin.read()], now=0.0)
except RecipientRefused:
    print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], input=bomb, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100_000  # kB


@pytest.mark.parametrize("expire", ["1y", "never"])
@pytest.mark.parametrize("subkey", [("cv25519", "encr", "1y"), ("cv25519", "encr", "never")])
def test_expiry_is_that_of_the_given_time(expire: str, subkey: tuple[str, ...], gpg: Gpg) -> None:
    made = time.time()
    public = gpg.public(gpg.make("ed25519", "sign", expire, subkey=subkey))
    expires = "1y" in (expire, *subkey)
    assert refusal(public, made + YEAR - 600) is None
    assert refusal(public, made + YEAR + 60) is (RecipientProblem.PGP_EXPIRED if expires else None)


def test_of_several_bindings_the_newest_counts(gpg: Gpg) -> None:
    fingerprint = gpg.make("ed25519", "sign", subkey=("cv25519", "encr", "1y"), now=LONG_AGO)
    assert refusal(gpg.public(fingerprint), time.time()) is RecipientProblem.PGP_EXPIRED
    old = gpg.public(fingerprint)
    subkey = str(split(old)[3].fingerprint)
    gpg.run("--quick-set-expire", fingerprint, "never", subkey)
    extended = gpg.public(fingerprint)
    assert refusal(extended, time.time()) is None
    both = Cert.from_bytes(extended.encode()).merge(Cert.from_bytes(old.encode()))
    assert len(split(str(both))) == len(split(extended)) + 1
    assert refusal(str(both), time.time()) is None
    reversed_bindings = [*split(str(both))[:4], *reversed(split(str(both))[4:])]
    assert refusal(block(b"".join(map(bytes, reversed_bindings))), time.time()) is None


def test_one_valid_subkey_is_enough(gpg: Gpg) -> None:
    fingerprint = gpg.make("ed25519", "sign", subkey=("rsa1024", "encr", "1y"), now=LONG_AGO)
    gpg.run("--quick-add-key", fingerprint, "cv25519", "encr")
    public = gpg.public(fingerprint)
    assert gpg.open(seal(b"the private key", public)) == b"the private key"
    assert len(split(seal(b"the private key", public))) == 2


def test_expired_signatures_of_others_do_not_count(gpg: Gpg) -> None:
    signer, fingerprint = gpg.make(now=LONG_AGO), gpg.make(now=LONG_AGO)
    options = ["--default-cert-expire", "1y", "--local-user", signer]
    gpg.run(*options, "--quick-sign-key", fingerprint, now=LONG_AGO)
    certified = gpg.public(fingerprint)
    assert [packet.signature_expiration_time is None for packet in split(certified)] == [
        *[True] * 3,
        False,
        *[True] * 2,
    ]
    assert refusal(certified, time.time()) is None


@pytest.mark.parametrize("advice", [EXTEND_PGP_SUBKEY, ADD_PGP_SUBKEY])
def test_a_key_whose_minimal_export_lacks_its_subkey_is_mended_as_advised(advice: str, gpg: Gpg) -> None:
    fingerprint = gpg.make("ed25519", "sign", subkey=("cv25519", "encr", "1y"), now=LONG_AGO)
    listing = LIST_PGP_SUBKEYS.replace("KEY", fingerprint).split()[1:]
    subkey = gpg.run(*listing).stdout.decode().split()[-1]
    words = {"KEY": fingerprint, "SUBKEY": subkey}
    gpg.run(*(words.get(word, word) for word in advice.split()[1:]))
    small = EXPORT_SMALL_PGP_KEY.replace("KEY", fingerprint).split()[1:]
    assert refusal(gpg.run(*small).stdout.decode(), time.time()) is None


@pytest.mark.parametrize("usage", ["sign,encrypt", "default"])
def test_a_primary_key_may_encrypt(usage: str, gpg: Gpg) -> None:
    public = gpg.public(gpg.make("rsa2048", usage.replace("default", "sign,cert,encrypt"), "1y"))
    assert gpg.open(seal(b"the private key", public)) == b"the private key"
    assert refusal(public, time.time() + YEAR + 60) is RecipientProblem.PGP_EXPIRED


def test_the_block_made_here_is_refused_for_its_exponent_alone() -> None:
    assert refusal(rsa_block(65537), time.time()) is None


def test_unknown_packets_are_ignored(gpg: Gpg, good: str) -> None:
    subkey, binding = split(good)[3:]
    body = bytearray(subkey.body)
    body[5] = 99  # the algorithm
    other_key = packet(14, bytes(body))
    body = bytearray(binding.body)
    body[1] = 0x77  # the type
    other_signature = packet(2, bytes(body))
    public = block(b"".join([*map(bytes, split(good)), other_signature, other_key, bytes(binding)]))
    assert gpg.open(seal(b"the private key", public)) == b"the private key"


def test_variations_of_the_armor_are_accepted(gpg: Gpg, good: str) -> None:
    checksum = re.compile(r"^=....$", re.MULTILINE)
    # RFC 9580 section 6.1: no block may be refused for its checksum.
    for written in (
        good.replace("\n", "\r\n"),
        good.replace("BLOCK-----\n\n", "BLOCK-----\nVersion: GnuPG v2\nComment: a - b\n\n"),
        checksum.sub("=AAAA", good),
        checksum.sub("", good),
        f"\n{good}\n",
    ):
        assert gpg.open(seal(b"the private key", written)) == b"the private key"


def test_without_the_library_the_advice_names_another_kind(
    function: FunctionUnderTest, good: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pysequoia", None)  # as Python marks what is not there
    monkeypatch.delitem(sys.modules, "handler.sealing.openpgp")
    answer = function.call(function.signed(REST, function.rest_body(recipients=[good])))
    assert answer.status == 422
    problem = RecipientProblem.OPENPGP_NOT_INSTALLED
    assert answer.json["errors"] == [
        {
            "field": "recipients.0",
            "rule": problem.code,
            "advice": problem.advice,
            "adviceZh": problem.advice_zh,
        }
    ]


# ---------------------------------------------------------------- what the library may do


def unvetted() -> OpenPgpSealer:
    """Return an envelope for a key that cannot encrypt, past all vetting."""
    row = next(row for row in bad_pgp() if row.title == "for signatures only")
    return OpenPgpSealer((Recipient("fingerprint", True, Cert.from_bytes(row.text.encode())),))  # noqa: FBT003  # one flag


def test_a_refusal_while_sealing_is_an_error_without_the_key() -> None:
    with pytest.raises(SealingFailed) as caught:
        unvetted().seal(SecretBytes(b"the private key"), CONTENTS)
    assert list(chain(caught.value)) == [caught.value]
    values = values_in_frames(caught)
    assert values
    assert b"the private key" not in values


def test_a_failed_trial_refuses_the_recipient() -> None:
    with pytest.raises(RecipientRefused) as caught:
        unvetted().try_seal()
    assert caught.value.problem is RecipientProblem.UNUSABLE
    assert list(chain(caught.value)) == [caught.value]


def test_a_panic_in_rust_is_a_refusal_and_nothing_else_is_hidden() -> None:
    low_order = pyrage.x25519.Recipient.from_str(bech32("age", bytes(32)))
    assert _attempt(lambda key: pyrage.encrypt(b"", [key]), low_order) is None
    with pytest.raises(TypeError):
        OpenPgpSealer((Recipient("fingerprint", True, cast("Any", "no key")),)).try_seal()  # noqa: FBT003  # as above


# ---------------------------------------------------------------- whatever is sent


quick = settings(max_examples=examples(100), deadline=None)


@quick
@given(data=st.data())
def test_any_change_to_a_block_gives_an_envelope_or_a_refusal(good: str, data: st.DataObject) -> None:
    changed = bytearray(b"".join(bytes(found) for found in split(good)))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(changed)))
        changed[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    refusal(block(bytes(changed)), time.time())


@quick
@given(data=st.data())
def test_any_change_to_the_text_gives_an_envelope_or_a_refusal(good: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(good)))
    end = start + data.draw(st.integers(0, 60))
    refusal(
        good[:start] + data.draw(st.text("AZaz09+/=- \n\r\t\x00é:", max_size=20)) + good[end:], time.time()
    )
