"""Recipients as people paste them, through each endpoint: read as the key in them, or refused with a code.

The files in tests/support/pasted are of kinds that were reported to other projects, with throwaway keys.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

import pytest

from handler import sealing
from handler.errors import RecipientRefused
from handler.sealing.recipient_problems import RecipientProblem
from handler.sealing.recipient_text import Dropped
from scripts.policy_file import PolicyUnusable, check_policy
from tests.support.function_under_test import POLICY, REST, FunctionUnderTest, fresh_name
from tests.support.pasted_keys import BAG, CERTIFICATE, ED25519, JWK, LINE, NOW, WRAPPED, fingerprint, pasted
from tests.support.pem_attacks import GOOD_RSA, MODULUS, certificate, integer, pem, public, sequence
from tests.support.quiet_platform import running_quietly
from tests.support.recipient_attacks import ecdsa_line
from tests.support.token_issuer import token
from tests.support.web_form import KEY, claims, function_with, post

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.function_under_test import Answer

PROBLEM = RecipientProblem
PGP = "FCF10BC0A30DDA84BBD2CBE92E25B0C91C8B3F70"
AZURE = "J2BqqErWKOkhBVsnUMqJUQw1y0EOHVi_rxim8gFwPUE"


ECDSA = ecdsa_line()
AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


READ = {
    "a comment in Chinese": (pasted("comment-cjk.pub"), ED25519),
    "CRLF and a domain": (pasted("windows.pub").replace("\n", "\r\n"), ED25519),
    "a byte order mark": ("\ufeff" + LINE, ED25519),
    "quotes": (f'"{LINE} a@b"', ED25519),
    "back-ticks": (f"`{LINE}`", ED25519),
    "a code fence": (f"```\n{LINE} a@b\n```", ED25519),
    "smart quotes": (f"\u201c{LINE}\u201d", ED25519),
    "among comment lines": (f"# 我的公钥\n\n{LINE} a\n# that is all\n", ED25519),
    "an emoji comment": (f"{LINE} \U0001f511 O'Brien", ED25519),
    "a type in upper case": (LINE.replace("ssh", "Ssh"), ED25519),
    "a wrapped ssh-rsa line": (pasted("rsa-wrapped.pub").replace("\n", "\r\n"), WRAPPED),
    "a wrapped line with a comment": (pasted("rsa-wrapped.pub").rstrip() + " alice", WRAPPED),
    "indentation": ("    " + pasted("rsa-wrapped.pub").replace("\n", "\n    "), WRAPPED),
    "Kleopatra's headers": (pasted("pgp-kleopatra-zh.asc"), PGP),
    "a photo": (pasted("pgp-photo-id.asc"), PGP),
    "PGP without a blank line": (
        pasted("pgp-photo-id.asc").replace("BLOCK-----\n\n", "BLOCK-----\n"),
        PGP,
    ),
    "a JWK with nulls": (JWK, AZURE),
    "a JWK set with one key twice": (f'{{"keys": [{JWK}, {JWK}]}}', AZURE),
    "bag attributes": (BAG + CERTIFICATE, fingerprint(CERTIFICATE)),
    "PEM in a mail": (f"Dear all,\n\n{CERTIFICATE}\nBest, Jürgen", fingerprint(CERTIFICATE)),
    "PEM with its line ends as escapes": (CERTIFICATE.replace("\n", "\\n"), fingerprint(CERTIFICATE)),
    "PEM on one line": (CERTIFICATE.replace("\n", " "), fingerprint(CERTIFICATE)),
    "PKCS#1": (
        pem("RSA PUBLIC KEY", sequence(integer(MODULUS), integer(65537))),
        fingerprint(public(GOOD_RSA)),
    ),
    "age-keygen's line": (f"Public key: {AGE}", AGE),
    "age-keygen's comment": (f"# created: 2026-01-01T00:00:00Z\n# public key: {AGE}\n", AGE),
    "an age recipient in capitals": (AGE.upper(), AGE),
    "an age recipient with a capital": (AGE.capitalize(), AGE),
    "a list's comma": (f"{LINE},", ED25519),
    "the end of a sentence": (f"{AGE}.", AGE),
    "a line end that was escaped twice": (f'"{LINE}\\n"', ED25519),
    "quoted in a mail": (f"> {LINE} a@b", ED25519),
    "PEM quoted in a mail of a mail": (
        "".join(f"> > {line}\n" for line in CERTIFICATE.splitlines()),
        fingerprint(CERTIFICATE),
    ),
    "PEM with dashes": (CERTIFICATE.replace("-----", "\u2014\u2014-"), fingerprint(CERTIFICATE)),
    "PEM with a hyphen too few": (CERTIFICATE.replace("-----B", "----B"), fingerprint(CERTIFICATE)),
    "PEM with fixed blanks": (CERTIFICATE.replace(" CERT", "\u00a0CERT"), fingerprint(CERTIFICATE)),
    "a JWK with smart quotes": (JWK.replace('"', "\u201d"), AZURE),
    "ecdsa": (f"{ECDSA} alice@desk", fingerprint(ECDSA)),
}
"""A text, and the fingerprint of the key in it."""
REFUSED = {
    "SHA-1 self-signatures": (pasted("pgp-sha1.asc"), PROBLEM.PGP_SHA1),
    "a chain": (CERTIFICATE + certificate(GOOD_RSA), PROBLEM.CERTIFICATE_CHAIN),
    "a chain with text": (BAG + CERTIFICATE + BAG + CERTIFICATE, PROBLEM.CERTIFICATE_CHAIN),
    "RFC 4716": (
        '---- BEGIN SSH2 PUBLIC KEY ----\nComment: "me"\nAAAAC3Nz\n---- END SSH2 PUBLIC KEY ----',
        PROBLEM.SSH2_BLOCK,
    ),
    "known_hosts": (f"github.com,192.0.2.7 {LINE}", PROBLEM.KNOWN_HOSTS),
    "options": (f'from="10.0.0.0/8",no-pty {LINE}', PROBLEM.SSH_OPTIONS),
    "a security key": (pasted("github-keys.txt").splitlines()[2], PROBLEM.SSH_SECURITY_KEY),
    "too many bits": (pasted("github-keys.txt").splitlines()[3], PROBLEM.RSA_SIZE),
    "RSA-HSM": (json.dumps({**json.loads(JWK), "kty": "RSA-HSM"}), PROBLEM.JWK_HSM),
    "two encryption keys": (
        json.dumps({"keys": [json.loads(JWK), {**json.loads(JWK), "n": "u" + json.loads(JWK)["n"][1:]}]}),
        PROBLEM.JWK_SET_SEVERAL,
    ),
    "a private member besides nulls": (JWK.replace('"d": null', '"d": "AQAB"'), PROBLEM.PRIVATE),
    "a character inside": (LINE[:40] + "\u200b" + LINE[40:], PROBLEM.CONTROL_CHARACTERS),
    "a fingerprint": (ED25519, PROBLEM.FINGERPRINT),
    "a private member in smart quotes": (
        JWK.replace('"d": null', '"d": "AQAB"').replace('"', "\u201c"),
        PROBLEM.PRIVATE,
    ),
    "a private member as Python prints it": ("{'kty': 'OKP', 'd': 'AQAB'}", PROBLEM.PRIVATE),
    "a private key with dashes": (
        "-----BEGIN PRIVATE\u00a0KEY-----\nMC4C\n-----END PRIVATE\u00a0KEY-----".replace("--", "\u2014"),
        PROBLEM.PRIVATE,
    ),
    "two keys of age-keygen": (f"# public key: {AGE}\n# public key: {AGE[:-1]}q", PROBLEM.SEVERAL),
    "a cut key and a comment of the missing length": (f"{LINE[:-5]} alice", PROBLEM.SSH_MALFORMED),
    "an address below the comment of age-keygen": (
        f"# public key: {AGE}\nhttps://github.com/bob.keys",
        PROBLEM.URL,
    ),
    "a numbered line": (f"1. {LINE}", PROBLEM.SURROUNDING_TEXT),
    "a PGP fingerprint": (f"{PGP[:20]}  {PGP[20:]}", PROBLEM.PGP_FINGERPRINT),
    "a PGP key's id": (f"0x{PGP[-16:]}", PROBLEM.PGP_FINGERPRINT),
    "a file's name": ("~/.ssh/id_ed25519.pub", PROBLEM.FILE_NAME),
    "an address": ("https://github.com/alice.keys", PROBLEM.URL),
    "DER in base64": ("".join(public(GOOD_RSA).splitlines()[1:-1]), PROBLEM.DER),
}
SEVERAL = {
    "two lines": f"{LINE} a\n{pasted('rsa-wrapped.pub')}",
    "two lines joined": f"{LINE} a {pasted('gitlab-keys.txt').splitlines()[1]}",
    "two files without a line end between them": f"{LINE} alice@host{LINE} bob@desk",
    "a key with a hidden character after another": f"{LINE} a\n{LINE.replace(' ', chr(0x200B) + ' ')}",
    "a key and a JWK": f"{LINE} a\n{JWK}",
    "a wrapped age key after another": f"{AGE}\n{AGE[:20]}\n{AGE[20:]}",
    "a key before a certificate": f"{LINE}\n{CERTIFICATE}",
}
# In chat an invisible character is removed, and a fingerprint or DER is one word.
CHAT_READS = {"a character inside"}
# In chat all of it is one line, in which the address is the comment of the key.
NOT_IN_CHAT = {"an address below the comment of age-keygen"}


@pytest.fixture(scope="module")
def function(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> FunctionUnderTest:
    made = function_with(emulator, tmp_path_factory.mktemp("pasted"), escrow=[])
    made.clock.time = NOW
    return made


@pytest.mark.parametrize("title", READ)
def test_what_is_read(title: str, function: FunctionUnderTest, tmp_path: Path) -> None:
    text, expected = READ[title]
    answer = function.call(function.signed(REST, {"keyName": fresh_name(), "recipients": [text]}))
    assert answer.status == 201, answer.body
    assert answer.json["sealedPrivateKey"]["recipients"] == [expected]
    check(text, tmp_path)
    assert by_form(function, text).status == 201
    function.delete_key_pairs()


@pytest.mark.parametrize("title", [*REFUSED, *SEVERAL])
def test_what_is_refused(title: str, function: FunctionUnderTest, tmp_path: Path) -> None:
    text, problem = REFUSED[title] if title in REFUSED else (SEVERAL[title], PROBLEM.SEVERAL)
    answer = function.call(function.signed(REST, {"keyName": fresh_name(), "recipients": [text]}))
    assert (answer.status, answer.code) == (422, "recipient-refused")
    assert [error["rule"] for error in answer.json["errors"]] == [problem.code]
    with pytest.raises(PolicyUnusable) as unusable:
        check(text, tmp_path)
    assert problem.advice in str(unusable.value)
    page = by_form(function, text)
    assert page.status == 422
    assert escape(problem.advice) in page.body
    assert escape(problem.advice_zh) in page.body


def check(text: str, folder: Path) -> None:
    file = folder / "policy.json"
    caller = {**POLICY["callers"]["registered"], "recipients": [text]}
    file.write_text(json.dumps({"callers": {"demo": caller}}))
    check_policy(file)


def by_form(function: FunctionUnderTest, text: str) -> Answer:
    fields = {
        "token": token(KEY, claims(iat=NOW, exp=NOW + 600), alg="ES256"),
        "keyName": fresh_name(),
        "recipient": text,
    }
    return post(function, fields)


def test_in_chat(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_quietly(emulator, tmp_path) as quietly:
        quietly.chat.function.clock.time = NOW
        for title, (text, expected) in READ.items():
            said = quietly.tell(f"/keypair {fresh_name()} for {text}")
            if title in {"a photo", "PGP without a blank line"}:
                assert said == "I cannot use this public key. What to do:"
                assert quietly.platform.said[-1][1].parts[1] == PROBLEM.PGP_TOO_LONG.advice
            elif title in {
                "PEM in a mail",
                "PEM with its line ends as escapes",
            }:  # after a block, options are expected
                assert said.startswith("I do not understand the word")
            else:
                assert f"Encrypted to: {expected}" in said, title
        for title, (text, problem) in REFUSED.items():
            if title in NOT_IN_CHAT:
                continue
            said = quietly.tell(f"/keypair {fresh_name()} for {text}")
            if title in CHAT_READS:
                assert f"Encrypted to: {ED25519}" in said
            else:
                assert quietly.platform.said[-1][1].parts[1] == problem.advice, title
        quietly.chat.function.delete_key_pairs()


def test_two_keys_in_chat_are_two_recipients(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_quietly(emulator, tmp_path) as quietly:
        text = pasted("chat-two-keys.txt").replace("NAME", fresh_name())
        both = fingerprint(text.splitlines()[1])
        assert f"Encrypted to: {ED25519}, {both}" in quietly.tell(text)
        # A client that joins lines changes nothing.
        text = pasted("chat-two-keys.txt").replace("NAME", fresh_name()).replace("\n", " ")
        assert f"Encrypted to: {ED25519}, {both}" in quietly.tell(text)
        # Both are named, or there is no key pair.
        before = quietly.creates()
        quietly.tell(f"/keypair {fresh_name()} for {LINE} a\n{pasted('github-keys.txt').splitlines()[3]}")
        assert quietly.platform.said[-1][1].parts[1] == PROBLEM.RSA_SIZE.advice
        assert quietly.creates() == before
        quietly.chat.function.delete_key_pairs()


def test_a_comment_in_chat_is_no_option(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_quietly(emulator, tmp_path) as quietly:
        for line in pasted("chat-comment-words.txt").splitlines():
            said = quietly.tell(line.replace("NAME", fresh_name()))
            assert f"Encrypted to: {ED25519}" in said
            assert "Region: ap-guangzhou" in said
            # The longest that the grant allows, because nothing was asked for.
            assert "Expires: 2026-12-24" in said
            assert str(quietly.platform.said[-1][1].parts[1]).startswith("I took the rest of the line")
            quietly.chat.function.delete_key_pairs()


def test_a_jwk_may_be_an_object(function: FunctionUnderTest) -> None:
    body = {"keyName": fresh_name(), "recipients": [json.loads(JWK)], "tags": None, "projectId": None}
    answer = function.call(function.signed(REST, body))
    assert answer.json["sealedPrivateKey"]["recipients"] == [AZURE]
    function.delete_key_pairs()


def test_what_was_dropped_is_returned() -> None:
    def dropped(text: str) -> tuple[Dropped, ...]:
        return sealing.read_recipient(text).dropped

    assert dropped(LINE) == ()
    assert dropped(f"# a\n{LINE} b") == (Dropped.COMMENT_LINES, Dropped.COMMENT)
    assert dropped(f"`{READ['a wrapped ssh-rsa line'][0]}`") == (Dropped.QUOTES, Dropped.LINE_BREAKS)
    assert dropped(pasted("pgp-kleopatra-zh.asc")) == (Dropped.ARMOR_HEADERS,)
    assert dropped(BAG + CERTIFICATE) == (Dropped.SURROUNDING_TEXT,)


def test_nothing_is_read_in_a_text_with_a_private_key() -> None:
    with pytest.raises(RecipientRefused) as refused:
        sealing.read_recipient(f"{CERTIFICATE}\n-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----")
    assert refused.value.problem is PROBLEM.PRIVATE
