"""The format for a recipient, the format that a request may state, and what each format imports."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwcrypto.jwk import JWK
from pysequoia import Tsk

from handler import sealing
from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.sealing import read_recipient
from handler.sealing.detection import detect
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.function_under_test import (
    ESCROW,
    POLICY,
    RECIPIENT,
    REST,
    V3,
    FunctionUnderTest,
    fresh_name,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

NOW = time.time()  # PGP keys are made by the true clock
PROBLEM = RecipientProblem
FORMAT = EnvelopeFormat


def pem(key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


AGE = str(RECIPIENT.to_public())
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKNx6lyOWWaOLlrz6GhGfzR+kSQD41Qtut/5aNpRfeZn ci-deploy"
JWK_P256: str = JWK.generate(kty="EC", crv="P-256", kid="mine").export_public()
PEM_P256 = pem(ec.generate_private_key(ec.SECP256R1()))
PEM_X25519 = pem(x25519.X25519PrivateKey.generate())
PGP = str(Tsk.generate("someone <someone@example.com>").extract_certificate())
KINDS = {
    AGE: FORMAT.AGE,
    SSH: FORMAT.AGE,
    JWK_P256: FORMAT.JWE,
    PEM_X25519: FORMAT.JWE,
    PEM_P256: FORMAT.CMS,
    PGP: FORMAT.OPENPGP,
}


def problem(*recipients: str, **how: Any) -> tuple[RecipientProblem, int | None]:  # noqa: ANN401  # handed through
    with pytest.raises(RecipientRefused) as refused:
        sealing.prepare_sealer(recipients, now=NOW, **how)
    return refused.value.problem, refused.value.position


@pytest.mark.parametrize(
    ("text", "expected"), KINDS.items(), ids=["age", "ssh", "jwk", "x25519", "pem", "pgp"]
)
def test_each_kind_has_one_format(text: str, expected: EnvelopeFormat) -> None:
    assert detect(read_recipient(text)) is expected
    for around in ("", "\n", " \r\n\t"):
        assert sealing.prepare_sealer([around + text + around], now=NOW).format is expected
    for stated in FORMAT:
        if stated is expected:
            assert sealing.prepare_sealer([text], now=NOW, stated=stated).format is expected
        else:
            assert problem(text, stated=stated) == (PROBLEM.OTHER_FORMAT, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", PROBLEM.UNKNOWN),
        ("AGE", PROBLEM.UNKNOWN),
        ("[]", PROBLEM.UNKNOWN),
        ("ecdsa-sha2-nistp256", PROBLEM.SSH_MALFORMED),
        (f"age: {AGE}", PROBLEM.SURROUNDING_TEXT),
        (f"{AGE}\n{AGE}", PROBLEM.SEVERAL),
        (f"{SSH}\n{SSH}", PROBLEM.SEVERAL),
        (f"{AGE}\n{PEM_P256}", PROBLEM.SEVERAL),
        (PEM_P256 + PEM_P256, PROBLEM.SEVERAL),
        (PGP + PEM_P256, PROBLEM.SEVERAL),
        ("-----BEGIN ", PROBLEM.PEM_MALFORMED),
        ("-----BEGIN NONSENSE-----", PROBLEM.PEM_MALFORMED),
        ("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----", PROBLEM.PEM_TYPE),
        ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----", PROBLEM.SSH2_BLOCK),
    ],
)
def test_other_texts(text: str, expected: RecipientProblem) -> None:
    with pytest.raises(RecipientRefused) as refused:
        detect(read_recipient(text))
    assert refused.value.problem is expected


def test_one_envelope_has_one_format() -> None:
    assert problem(AGE, SSH, JWK_P256) == (PROBLEM.MIXED_FORMATS, 2)
    assert problem(PEM_X25519, PEM_P256) == (PROBLEM.MIXED_FORMATS, 1)
    assert problem(PGP, AGE) == (PROBLEM.MIXED_FORMATS, 1)
    assert problem(AGE, "nonsense") == (PROBLEM.UNKNOWN, 1)
    assert sealing.prepare_sealer([AGE, SSH], now=NOW).format is FORMAT.AGE
    assert problem() == (PROBLEM.MISSING, None)


def test_escrow_of_the_same_format_is_added() -> None:
    spare = str(ESCROW.to_public())
    envelope = sealing.prepare_sealer([AGE], now=NOW, escrow=[PEM_P256, spare, JWK_P256])
    assert envelope.fingerprints == (AGE, spare)
    assert sealing.prepare_sealer([AGE], now=NOW, escrow=[AGE]).fingerprints == (AGE,)
    assert len(sealing.prepare_sealer([JWK_P256], now=NOW, escrow=[spare, PEM_X25519]).fingerprints) == 2
    assert problem(AGE, escrow=[PEM_P256]) == (PROBLEM.WITHOUT_ESCROW, 0)
    assert problem(AGE, escrow=["nonsense"]) == (PROBLEM.UNKNOWN, 1)
    assert problem(AGE, escrow=[spare, "age1x"]) == (PROBLEM.BECH32, 2)


@pytest.mark.parametrize("door", [REST, V3])
def test_a_request_may_state_the_format(door: str, emulator: EmulatorProcess, tmp_path: Path) -> None:
    policy = copy.deepcopy(POLICY)
    del policy["escrow"]
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", policy=policy)
    function.clock.time = NOW

    def ask(recipient: str, stated: str) -> tuple[int, str | None]:
        names = (
            ("keyName", "recipients", "envelopeFormat")
            if door == REST
            else ("KeyName", "Recipients", "EnvelopeFormat")
        )
        body: dict[str, object] = {**dict(zip(names, (fresh_name(), [recipient], stated), strict=True))}
        if door == V3:
            body["ProjectId"] = 0
        answer = function.call(function.signed(door, body))
        return answer.status, answer.code

    created = function.create_calls()
    assert ask(AGE, "jwe") == (
        (422, "recipient-refused") if door == REST else (200, "InvalidParameterValue.Recipients")
    )
    assert ask(AGE, "pgp") == ((400, "malformed-request") if door == REST else (200, "InvalidParameterValue"))
    assert [line["reason"] for line in function.audit_lines()] == ["recipient-other-format", "fields"]
    assert function.create_calls() == created
    for text, expected in KINDS.items():
        assert ask(text, expected.value) == ((201, None) if door == REST else (200, None))
    function.delete_key_pairs()


def test_a_wrong_format_is_the_fault_of_the_request(function: FunctionUnderTest) -> None:
    """Even if the recipients are registered ones: the policy is not at fault."""
    body = {"keyName": fresh_name(), "envelopeFormat": "cms"}
    answer = function.call(function.signed(REST, body, caller="registered"))
    assert (answer.status, answer.code) == (422, "recipient-refused")
    assert answer.json["errors"][0]["field"] == "recipients"


BLANKS = "\n" * 8_000 + " " * 8_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        f"-----BEGIN PUBLIC KEY-----{BLANKS}",
        f"-----BEGIN CERTIFICATE-----{BLANKS}",
        f"-----BEGIN PGP PUBLIC KEY BLOCK-----{BLANKS}",
        f"ssh-rsa AAAA{' ' * 16_000}\n-----BEGIN X-----",
        f"ssh-rsa AAAA{' ' * 16_000}é"[:-1] + "!",
        "{" + BLANKS,
    ],
    ids=["public key", "certificate", "pgp", "ssh and a label", "ssh", "jwk"],
)
def test_blanks_are_parsed_in_linear_time(text: str) -> None:
    """Quadratic time would be minutes here, and the test would be stopped."""
    program = """
import sys
from handler import sealing
from handler.errors import RecipientRefused
text = sys.stdin.read()
for _ in range(200):
    try:
        sealing.prepare_sealer([text], now=0.0)
    except RecipientRefused as refused:
        assert refused.problem.code != "recipient-too-long"
"""
    subprocess.run([sys.executable, "-c", program], input=text, text=True, check=True, timeout=120)


HEAVY = {
    "pyrage": "pyrage",
    "joserfc": "joserfc",
    "x509": "cryptography.x509",
    "asn1": "cryptography.hazmat.asn1",
    "pysequoia": "pysequoia",
    "jwt": "jwt",
}


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        (AGE, {"pyrage"}),
        (SSH, {"pyrage"}),
        (JWK_P256, {"joserfc", "x509"}),
        (PEM_X25519, {"joserfc", "x509"}),
        (PEM_P256, {"x509", "asn1"}),
        (PGP, {"pysequoia"}),
    ],
    ids=["age", "ssh", "jwk", "x25519", "pem", "pgp"],
)
def test_what_each_kind_imports(text: str, loaded: set[str]) -> None:
    """In a fresh process, after all that a cold start imports."""
    program = f"""
import sys
import handler.index
from handler import sealing
heavy = {HEAVY!r}
before = [name for name, module in heavy.items() if module in sys.modules]
sealing.prepare_sealer([{text!r}], now={NOW})
print(before, sorted(name for name, module in heavy.items() if module in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"[] {sorted(loaded)}\n"
