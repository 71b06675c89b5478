"""npm jose and jwcrypto open envelopes to JWKs, and bad JWKs are refused."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from jwcrypto import jwk
from pydantic import SecretBytes

from handler.errors import RecipientRefused, SealingFailed
from handler.order import EnvelopeFormat
from handler.sealing import prepare_sealer
from handler.sealing.jwe import JweSealer, KeySource, Recipient
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.function_under_test import base64url, nested
from tests.support.jwe_owners import (
    CONTENTS,
    KINDS,
    PEM,
    SAID,
    Owner,
    decode,
    make_owner,
    protected,
    sealed_to,
)
from tests.support.jwk_attacks import BAD_JWKS, CURVES, key_set, p256, rsa
from tests.support.random_cases import examples

if TYPE_CHECKING:
    from tests.support.node_opener import NodeOpener
    from tests.support.recipient_attacks import BadRecipient


@pytest.fixture(scope="module")
def owners() -> dict[str, Owner]:
    return {kind: make_owner(kind) for kind in KINDS}


def refusal(*texts: str) -> tuple[RecipientProblem, int | None]:
    with pytest.raises(RecipientRefused) as caught:
        prepare_sealer(texts, now=0.0)
    return caught.value.problem, caught.value.position


# ---------------------------------------------------------------- it opens


@pytest.mark.parametrize("kind", [*KINDS, "RSA 2056", "RSA 3072", "RSA 4096"])
def test_the_envelope_to_one(kind: str, node: NodeOpener) -> None:
    owner = make_owner(kind)
    sealer = prepare_sealer([owner.public], now=0.0)
    envelope = sealer.seal(SecretBytes(PEM), CONTENTS)

    assert sealer.format is EnvelopeFormat.JWE
    assert sealer.fingerprints == (owner.key.thumbprint(),)
    assert owner.with_jose(node, envelope) == PEM
    assert owner.with_jwcrypto(envelope) == PEM
    header = protected(envelope)
    assert header.pop("alg") == ("RSA-OAEP-256" if kind.startswith("RSA") else "ECDH-ES")
    assert set(header.pop("epk", {"kty", "crv", "x", "y"})) <= {"kty", "crv", "x", "y"}
    assert header == SAID
    assert make_owner(kind).with_jwcrypto(envelope) is None


@pytest.mark.parametrize("kinds", [KINDS[:1] * 2, ("P-256", "P-256"), ("RSA", "P-521", "X25519"), KINDS])
def test_each_of_several_opens_it_alone(kinds: tuple[str, ...], node: NodeOpener) -> None:
    several = [make_owner(kind, kid=f"key {number}") for number, kind in enumerate(kinds)]
    sealer = prepare_sealer([owner.public for owner in several], now=0.0)
    envelope = sealer.seal(SecretBytes(PEM), CONTENTS)

    assert sealer.fingerprints == tuple(owner.key.thumbprint() for owner in several)
    for owner in several:
        assert owner.with_jose(node, envelope) == PEM
        assert owner.with_jwcrypto(envelope) == PEM
    assert protected(envelope) == SAID
    for number, (kind, entry) in enumerate(zip(kinds, json.loads(envelope)["recipients"], strict=True)):
        assert entry["header"].get("kid") == (None if kind == "X25519 PEM" else f"key {number}")
        assert entry["header"]["alg"] == ("RSA-OAEP-256" if kind == "RSA" else "ECDH-ES+A256KW")


def test_as_many_and_as_large_recipients_as_possible() -> None:
    # Nobody has the private halves: a number without small factors serves as modulus.
    small = math.prod(range(3, 10_000, 2))
    moduli = (number for number in itertools.count(2**8191 + 1, 2) if math.gcd(number, small) == 1)
    envelope = sealed_to(*map(rsa, itertools.islice(moduli, 20)))
    assert len(json.loads(envelope)["recipients"]) == 20


# ---------------------------------------------------------------- what a JWK may say


@dataclass(frozen=True)
class GoodJwk:
    title: str
    members: dict[str, object]
    says: dict[str, str]


GOOD_JWKS = (
    GoodJwk("of WebCrypto", {"key_ops": [], "ext": True}, {"alg": "ECDH-ES"}),
    GoodJwk("of latchset's jose", {"alg": "ECDH-ES", "key_ops": ["wrapKey"]}, {"alg": "ECDH-ES"}),
    GoodJwk("to derive bits", {"use": "enc", "key_ops": ["deriveBits", "deriveKey"]}, {"alg": "ECDH-ES"}),
    GoodJwk("with key wrapping", {"alg": "ECDH-ES+A256KW"}, {"alg": "ECDH-ES+A256KW"}),
    GoodJwk("with a kid", {"kid": " ~'!" * 64}, {"alg": "ECDH-ES", "kid": " ~'!" * 64}),
    GoodJwk("with an empty kid", {"kid": ""}, {"alg": "ECDH-ES", "kid": ""}),
    GoodJwk(
        "with what points elsewhere",
        {
            "jku": "http://127.0.0.1:9/",
            "x5u": "http://127.0.0.1:9/",
            "x5c": ["AA"],
            "jwk": {},
            "crit": ["b64"],
        },
        {"alg": "ECDH-ES"},
    ),
    GoodJwk("in a set, as deep as allowed", {"note": nested(29)}, {"alg": "ECDH-ES"}),
    GoodJwk("with brackets in texts", {"note": ["[" * 99, '\\"' + "{" * 99]}, {"alg": "ECDH-ES"}),
    GoodJwk("whose members' names occur in texts", {"note": 'd "k": q'}, {"alg": "ECDH-ES"}),
)


@pytest.mark.parametrize("good", GOOD_JWKS, ids=lambda good: good.title)
def test_optional_members_of_a_jwk(good: GoodJwk, owners: dict[str, Owner], node: NodeOpener) -> None:
    owner = owners["P-256"]
    signing = [p256(use="sig"), rsa(alg="RS256"), '{"kty": "AKP"}', p256(kty="OKP", crv="Ed25519")]
    text = json.dumps(json.loads(owner.public) | good.members, indent=1)
    for spelling in (text, key_set(*signing, text), text.replace("kty", "\\u006bty")):
        envelope = sealed_to(f" \n{spelling}\n")
        header = protected(envelope)
        assert set(header.pop("epk")) == {"kty", "crv", "x", "y"}
        assert header == SAID | good.says
        assert owner.with_jose(node, envelope) == PEM
        assert owner.with_jwcrypto(envelope) == PEM


def test_a_key_for_direct_agreement_cannot_be_one_of_several(owners: dict[str, Owner]) -> None:
    direct = p256(alg="ECDH-ES")
    assert refusal(owners["RSA"].public, direct) == (RecipientProblem.JWK_USE, 1)
    assert refusal(key_set(direct), owners["RSA"].public) == (RecipientProblem.JWK_USE, 0)
    header = json.loads(sealed_to(p256(alg="ECDH-ES+A256KW"), owners["RSA"].public))["recipients"][0][
        "header"
    ]
    assert header["alg"] == "ECDH-ES+A256KW"


@pytest.mark.slow
@pytest.mark.parametrize("bad", BAD_JWKS, ids=lambda bad: bad.title)
def test_a_bad_jwk_is_refused(bad: BadRecipient, owners: dict[str, Owner]) -> None:
    assert refusal(bad.text) == (bad.problem, 0)
    assert refusal(owners["P-256"].public, bad.text)[1] == 1


def test_errors_of_the_library_become_refusals() -> None:
    unfit = Recipient("", "RSA-OAEP-256", None, KeySource.JWK, ECKey.generate_key("P-256", private=False))
    with pytest.raises(RecipientRefused) as refused:
        JweSealer((unfit,)).try_seal()
    assert refused.value.problem is RecipientProblem.UNUSABLE
    for envelope in (JweSealer((unfit,)), JweSealer((unfit, unfit))):
        with pytest.raises(SealingFailed) as failed:
            envelope.seal(SecretBytes(PEM), CONTENTS)
        assert failed.value.__context__ is None


# ---------------------------------------------------------------- short coordinates


def ec_owner(curve: str, secret: int) -> Owner:
    key = jwk.JWK.from_pyca(ec.derive_private_key(secret, CURVES[curve]))
    return Owner(key.export_public(), key)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("name", ["x", "y"])
def test_a_coordinate_with_a_leading_zero(curve: str, name: str, node: NodeOpener) -> None:
    owner, members = next(
        (owner, json.loads(owner.public))
        for owner in (ec_owner(curve, secret) for secret in range(1, 10_000))
        if decode(json.loads(owner.public)[name])[0] == 0
    )
    envelope = sealed_to(owner.public)
    assert owner.with_jose(node, envelope) == PEM
    assert owner.with_jwcrypto(envelope) == PEM
    shortened = members | {name: base64url(decode(members[name])[1:])}
    assert refusal(json.dumps(shortened)) == (RecipientProblem.JWK_MALFORMED, 0)


@pytest.mark.slow
def test_fresh_points_and_ephemeral_points() -> None:
    """Until a coordinate of either began with a zero byte, as one in 256 does."""
    short = {"x": 0, "y": 0, "epk x": 0, "epk y": 0}
    for number in range(20_000):
        owner = make_owner("P-521" if number % 5 == 4 else "P-256")
        envelope = sealed_to(owner.public)
        assert owner.with_jwcrypto(envelope) == PEM
        if number % 5 == 4:
            continue  # of those, every other coordinate begins with a zero
        for name in ("x", "y"):
            short[name] += decode(json.loads(owner.public)[name])[0] == 0
            short[f"epk {name}"] += decode(protected(envelope)["epk"][name])[0] == 0
        if min(short["x"] + short["y"], short["epk x"] + short["epk y"]) > 0:
            return
    pytest.fail(f"none began with a zero byte: {short}")


# ---------------------------------------------------------------- whatever is sent

_OWNER = ec_owner("P-256", 3)
_MEMBERS = json.loads(_OWNER.public)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(list(_MEMBERS.values()))
)
_lists = st.lists(_scalars, max_size=3)
_values = _scalars | _lists | st.dictionaries(st.text(max_size=3), _scalars | _lists, max_size=3)
_names = st.sampled_from(
    ["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "key_ops", "keys", "x5c", "d"]
)
_objects = st.dictionaries(_names, _values, max_size=4)


@st.composite
def _edited(draw: st.DrawFn) -> str:
    """Return the owner's JWK with a piece cut out and another put in."""
    text = draw(st.sampled_from([_OWNER.public, key_set(_OWNER.public)]))
    start = draw(st.integers(0, len(text)))
    piece = draw(
        st.sampled_from(["", '"', "}", ",", ":", "\\", " ", "\n", "A", "=", '"kid":"a",', '"d":"a",'])
    )
    return text[:start] + piece + text[start + draw(st.integers(0, 3)) :]


@pytest.mark.slow
@settings(max_examples=examples(100), deadline=None, database=None)
@given(
    _edited()
    | _objects.map(json.dumps)
    | _objects.map(lambda members: json.dumps(_MEMBERS | members))
    | _objects.map(lambda members: json.dumps({"keys": [_MEMBERS, members]}))
    | st.text().map(lambda text: "{" + text)
)
def test_any_text_gives_an_envelope_that_opens_or_a_refusal(text: str) -> None:
    try:
        envelope = prepare_sealer([text], now=0.0)
    except RecipientRefused:
        return
    # An edited text names either the owner's key or none.
    if envelope.fingerprints == (_OWNER.key.thumbprint(),):
        assert _OWNER.with_jwcrypto(envelope.seal(SecretBytes(PEM), CONTENTS)) == PEM
    else:
        assert json.loads(text).keys() >= {"kty", "n", "e"}
