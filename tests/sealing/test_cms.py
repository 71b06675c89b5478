"""PEM recipients are vetted, and the command in the answer opens the envelope or leaves no file."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretBytes

from handler.errors import RecipientRefused, SealingFailed
from handler.sealing import Contents, Sealer
from handler.sealing.cms import CmsSealer, Recipient
from handler.sealing.recipient_problems import RecipientProblem
from tests.support import certificate_bundle, pem_attacks
from tests.support.cms_owners import (
    KINDS,
    Owner,
    certified,
    make_owner,
    openssl,
    owner_of,
    prepare_sealer,
    seal,
)
from tests.support.function_under_test import NOON, POLICY, REGION, REST, FunctionUnderTest
from tests.support.leaks import values_in_frames
from tests.support.pem_attacks import BAD_PEMS, GOOD, P_256, certificate, der_of, pem, public, tlv, usage
from tests.support.random_cases import examples

if TYPE_CHECKING:
    from tests.support.emulator_process import EmulatorProcess
    from tests.support.recipient_attacks import BadRecipient

KEY = ec.derive_private_key(7, ec.SECP256R1())
"""The private half of `GOOD`."""


# ---------------------------------------------------------------- who is taken, and who is not


@pytest.mark.parametrize("bad", BAD_PEMS, ids=lambda bad: bad.title)
def test_bad_recipients_are_refused(bad: BadRecipient) -> None:
    with pytest.raises(RecipientRefused) as caught:
        prepare_sealer([public(GOOD), bad.text])
    assert (caught.value.problem, caught.value.position) == (bad.problem, 1)
    assert caught.value.__cause__ is None


def test_the_authorities_that_browsers_trust_are_told_apart() -> None:
    bundle = Path(certifi.where()).read_text(encoding="utf-8")
    counted = certificate_bundle.outcomes(bundle)
    assert set(counted) == {RecipientProblem.CERTIFICATE_AUTHORITY.code}
    assert counted.total() > 100


def test_two_keys_under_one_name(tmp_path: Path) -> None:
    """Whoever looks for the first one's certificate would find what is for the other key."""
    first, second = (make_owner("P-256", tmp_path / f"{number}.pem") for number in range(2))
    texts = [certificate(der_of(owner.text)) for owner in (first, second)]
    for group in (texts, [texts[0], public(GOOD), texts[1]]):
        with pytest.raises(RecipientRefused) as caught:
            prepare_sealer(group)
        assert (caught.value.problem, caught.value.position) == (RecipientProblem.AMBIGUOUS, 0)
    # The same key by the same name is sealed to once. By another name, its owner may look for either.
    assert len(prepare_sealer([texts[0], texts[0], first.text]).fingerprints) == 2


COMPRESSED = pem_attacks.ec_spki(pem_attacks.point_of(ec.SECP256R1(), PublicFormat.CompressedPoint), P_256)
UNUSUAL = {
    "line ends of Windows": public(GOOD).replace("\n", "\r\n"),
    "spaces for line ends": f" {public(GOOD).replace(chr(10), ' ')}",
    "a compressed point": public(COMPRESSED),
    "a compressed point, certified": certificate(COMPRESSED),
    "version 1": certificate(GOOD, version=None),
    "version 2": certificate(GOOD, version=1),
    "a name in Latin-1": certificate(GOOD, issuer=pem_attacks.name(tlv(0x14, b"\xe9"))),
    "no name": certificate(GOOD, issuer=pem_attacks.sequence()),
    "to encrypt to only": certificate(GOOD, usage(4, 7)),
    "an unknown extension": certificate(GOOD, pem_attacks.extension("1.3.6.1.4.1.99999.1", b"?")),
}


@pytest.mark.parametrize("title", UNUSUAL)
def test_unusual_certificates_are_accepted(title: str, tmp_path: Path) -> None:
    """The other recipients can open the envelope too: their openssl parses all of it."""
    other = make_owner("P-384", tmp_path / "other.pem")
    sealed = seal(prepare_sealer([UNUSUAL[title], other.text]))
    assert owner_of(KEY, "", tmp_path / "key.pem").opens(sealed)
    assert other.opens(sealed)


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (NOON - 1, RecipientProblem.CERTIFICATE_NOT_YET),
        (NOON, None),
        (NOON + 3600, None),
        (NOON + 3600.5, RecipientProblem.CERTIFICATE_EXPIRED),
    ],
)
def test_the_dates_of_a_certificate_are_included(now: float, problem: RecipientProblem | None) -> None:
    start, end = tlv(0x17, b"261124120000Z"), tlv(0x18, b"20261124130000Z")
    found = None
    try:
        prepare_sealer([certificate(GOOD, not_before=start, not_after=end)], now=now)
    except RecipientRefused as refusal:
        found = refusal.problem
    assert found is problem


def test_the_owner_can_compare_the_fingerprint(tmp_path: Path) -> None:
    for kind in KINDS:
        text = make_owner(kind, tmp_path / "key.pem").text
        (fingerprint,) = prepare_sealer([text]).fingerprints
        if kind.endswith("certificate"):
            shown = openssl("x509", "-noout", "-fingerprint", "-sha256", stdin=text).stdout
            assert shown.decode() == f"sha256 Fingerprint={fingerprint}\n"
        else:
            der = openssl("pkey", "-pubin", "-outform", "DER", stdin=text).stdout
            summed = subprocess.run(["sha256sum"], input=der, capture_output=True, check=True).stdout
            assert summed.decode() == f"{fingerprint.removeprefix('SHA256:')}  -\n"


# ---------------------------------------------------------------- whatever is sent

WHOLE = (public(GOOD), public(pem_attacks.GOOD_RSA), certificate(GOOD, usage(4)), certified(KEY))


@pytest.mark.slow
@settings(max_examples=examples(100), deadline=None, database=None)
@given(st.sampled_from(WHOLE), st.data())
def test_any_changed_text_is_sealed_to_or_refused(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 80, len(text))))
    put = data.draw(st.text(max_size=9) | st.text("AQgwM/+=\n- ", max_size=9))
    _either(text[:start] + put + text[end:])


@pytest.mark.slow
@settings(max_examples=examples(200), deadline=None, database=None)
@given(st.sampled_from(WHOLE), st.data())
def test_any_changed_bytes_are_sealed_to_or_refused(text: str, data: st.DataObject) -> None:
    der, label = der_of(text), text.partition("-----BEGIN ")[2].partition("-")[0]
    start = data.draw(st.integers(0, len(der)))
    end = data.draw(st.integers(start, min(start + 3, len(der))))
    _either(pem(label, der[:start] + data.draw(st.binary(max_size=3)) + der[end:]))


def _either(text: str) -> None:
    with contextlib.suppress(RecipientRefused):
        assert seal(prepare_sealer([text])).startswith("-----BEGIN CMS-----\n")


# ---------------------------------------------------------------- what the library does not take


def unvetted() -> Sealer:
    """Return an envelope to a key that is too short for what is sealed to it, past all vetting."""
    key = rsa.RSAPublicNumbers(65537, (1 << 511) + 111).public_key()
    return CmsSealer((Recipient("fingerprint", b"identifier", key),))


def test_a_failed_trial_refuses_the_recipient() -> None:
    with pytest.raises(RecipientRefused) as caught:
        unvetted().try_seal()
    assert caught.value.problem is RecipientProblem.UNUSABLE
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_refusal_while_sealing_is_an_error_without_the_key() -> None:
    with pytest.raises(SealingFailed) as caught:
        unvetted().seal(SecretBytes(b"the private key"), Contents("skey-1", "name", "SHA256:"))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    values = values_in_frames(caught)
    assert values
    assert b"the private key" not in values


# ---------------------------------------------------------------- through the front door


def run_in_bash(command: str, home: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    shell = ["bash", "-c", f"umask 022; {command}"]
    return subprocess.run(shell, cwd=home, env=environment, capture_output=True, check=False)


@pytest.fixture
def escrow(tmp_path: Path) -> Owner:
    return make_owner("P-521", tmp_path / "escrow.pem")


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path, escrow: Owner) -> FunctionUnderTest:
    return FunctionUnderTest(emulator, tmp_path / "policy.json", {**POLICY, "escrow": [escrow.text]})


@pytest.mark.parametrize("kind", ["P-256", "RSA certificate"])
def test_rest_answer(kind: str, function: FunctionUnderTest, escrow: Owner, tmp_path: Path) -> None:
    owner = make_owner(kind, tmp_path / "key.pem")
    body = function.rest_body(recipients=[owner.text])
    answer = function.call(function.signed(REST, body), {"request_id": "request-1"})

    issued = function.audit_lines()[-1]
    name, ciphertext = body["keyName"], answer.json["sealedPrivateKey"]["ciphertext"]
    (listed,) = [made for made in function.emulator.key_pairs() if made["KeyName"] == name]
    private_key = function.emulator.private_keys()[-1]
    fingerprints = [*prepare_sealer([owner.text]).fingerprints, *prepare_sealer([escrow.text]).fingerprints]
    function.delete_key_pairs()
    assert answer.status == 201
    assert answer.json == {
        "keyId": listed["KeyId"],
        "keyName": name,
        "projectId": 0,
        "region": REGION,
        "publicKey": " ".join(listed["PublicKey"].split()[:2]),
        "fingerprint": issued["fingerprint"],
        "createdAt": "2026-11-24T12:00:00Z",
        "expiresAt": None,
        "sealedPrivateKey": {
            "format": "cms",
            "recipients": fingerprints,
            "ciphertext": ciphertext,
            "openWith": f"(umask 077; [ ! -e {name}.pem ] || {{ echo {name}.pem exists >&2; exit 1; }}; "
            f"openssl cms -decrypt -inform PEM -in {name}.cms -inkey key.pem -out {name}.pem "
            f"|| {{ rm -f {name}.pem; exit 1; }})",
        },
        "requestId": "request-1",
    }
    assert issued["recipients"] == fingerprints
    assert escrow.opens(ciphertext, private_key.encode())

    (tmp_path / f"{name}.cms").write_text(ciphertext)
    done = run_in_bash(answer.json["sealedPrivateKey"]["openWith"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    opened = tmp_path / f"{name}.pem"
    assert opened.read_text() == private_key
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["P-256", "RSA certificate"])
def test_the_command_leaves_no_file_from_a_tampered_envelope(kind: str, tmp_path: Path) -> None:
    owner = make_owner(kind, tmp_path / "key.pem")
    envelope = prepare_sealer([owner.text])
    der = der_of(seal(envelope))
    (tmp_path / "ci_key.cms").write_text(pem("CMS", der[:-1] + bytes([der[-1] ^ 1])))
    # What the command is for: some versions of openssl alone write it all.
    alone = ("openssl", "cms", "-decrypt", "-inform", "PEM", "-in", tmp_path / "ci_key.cms")
    written = subprocess.run([*alone, "-inkey", owner.path], capture_output=True, check=False)
    assert written.returncode == 4
    # OpenSSL 3.0 writes before it has checked, 3.5 only afterwards.
    assert written.stdout in (b"some secret text", b"")

    done = run_in_bash(envelope.open_with("ci_key"), tmp_path)

    assert done.returncode == 1
    assert {file.name for file in tmp_path.iterdir()} == {"ci_key.cms", "key.pem"}


def test_the_command_fails_with_another_key(tmp_path: Path) -> None:
    envelope = prepare_sealer([make_owner("P-256", tmp_path / "key.pem").text])
    make_owner("P-256", tmp_path / "key.pem")
    (tmp_path / "ci_key.cms").write_text(seal(envelope))
    assert run_in_bash(envelope.open_with("ci_key"), tmp_path).returncode == 1
    assert not (tmp_path / "ci_key.pem").exists()


def test_the_command_leaves_the_identity_alone(tmp_path: Path) -> None:
    owner = make_owner("P-256", tmp_path / "key.pem")
    envelope = prepare_sealer([owner.text])
    identity = owner.path.read_bytes()
    (tmp_path / "key.cms").write_text(seal(envelope))
    assert run_in_bash(envelope.open_with("key"), tmp_path).returncode == 1
    assert owner.path.read_bytes() == identity


def test_the_armor_is_that_of_rfc_7468(tmp_path: Path) -> None:
    sealed = seal(prepare_sealer([make_owner("P-256", tmp_path / "key.pem").text]))
    line = r"[A-Za-z0-9+/]{64}\n"
    assert re.fullmatch(
        rf"-----BEGIN CMS-----\n(?:{line})*[A-Za-z0-9+/=]{{1,64}}\n-----END CMS-----\n", sealed
    )
    assert base64.b64encode(der_of(sealed)).decode() == "".join(sealed.splitlines()[1:-1])
