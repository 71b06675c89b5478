"""Repeated requests with a token, and one-time tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handler.auth.bearer import LEEWAY, MAX_TOKEN_SECONDS, BearerVerifier
from handler.auth.nonces import Nonces
from handler.errors import Unauthenticated
from handler.policy.model import Policy
from handler.scf.events import parse_event
from handler.store.memory import MemoryStore
from tests.support.bearer_forgeries import P256_ORDER, raw
from tests.support.bearer_function import (
    BEARER_POLICY,
    EC,
    NOBODY,
    ask,
    assert_issued,
    bearer_function,
    caller,
    claims,
    ec_token,
    issuer,
    reason,
    rsa_token,
    sent,
)
from tests.support.function_under_test import NOON, FunctionUnderTest, TestClock, base64url
from tests.support.token_issuer import jwk, token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[FunctionUnderTest]:
    function = bearer_function(emulator, tmp_path)
    yield function
    function.delete_key_pairs()


# ---------------------------------------------------------------- requests that are repeated


def test_the_same_request_gets_the_same_answer(function: FunctionUnderTest) -> None:
    body, made = function.rest_body(), ec_token()
    first = ask(function, made, body)
    assert_issued(function, first, "backup")
    again = ask(function, made, body)
    assert again.event == first.event
    assert function.audit_lines()[-1]["decision"] == "replayed"
    # Another body with the same token is another request. Another token with the same body is the same order.
    assert ask(function, made, function.rest_body()).status == 201
    assert ask(function, ec_token(jti="another"), body).body == first.body


def test_another_ecdsa_signature_is_the_same_request(function: FunctionUnderTest) -> None:
    """If (r, s) is a valid ECDSA signature, so is (r, n - s), and anybody can compute it."""
    body, made = function.rest_body(), once_token()
    signed, _, signature = made.rpartition(".")
    r, s = raw(signature)[:32], int.from_bytes(raw(signature)[32:], "big")
    twin = f"{signed}.{base64url(r + (P256_ORDER - s).to_bytes(32, 'big'))}"
    assert twin != made
    first = ask(function, made, body)
    assert_issued(function, first, "burner")
    assert ask(function, twin, body).event == first.event


def test_the_idempotency_key_of_a_token_s_holder(function: FunctionUnderTest) -> None:
    body = function.rest_body()
    first = ask(function, rsa_token(), body, Idempotency_Key="mine")
    assert_issued(function, first, "backup")
    # A fresh token, as a CI job has at its second attempt.
    again = ask(function, rsa_token(jti="fresh"), body, Idempotency_Key='"mine"')
    assert again.event == first.event
    assert ask(function, rsa_token(), function.rest_body(), Idempotency_Key="mine").code == (
        "idempotency-key-reused"
    )


# ---------------------------------------------------------------- tokens that are good once


def once_token(**changes: object) -> str:
    return token(EC, claims(**{"iss": "once", "sub": "burner", **changes}), alg="ES256")


def test_a_one_time_token(function: FunctionUnderTest) -> None:
    body, made = function.rest_body(), once_token()
    first = ask(function, made, body)
    assert_issued(function, first, "burner")
    # The same request again, up to the last moment.
    function.clock.time = NOON + 329.9
    assert ask(function, made, body).event == first.event
    for other in (
        ask(function, made, function.rest_body()),
        ask(function, made, body, Idempotency_Key="another"),
        # Signed again, with the same jti.
        ask(function, once_token(more="more"), function.rest_body()),
    ):
        assert reason(function, other) == "nonce-used"
    assert_issued(function, ask(function, once_token(jti="another")), "burner")
    function.clock.time = NOON + 330
    assert reason(function, ask(function, made, body)) == "bearer-expired"


def test_a_one_time_token_never_makes_a_second_key_pair(function: FunctionUnderTest) -> None:
    """Sent at the first and at the last possible moment, with its key pair removed in between."""
    body = function.rest_body()
    made = once_token(iat=NOON + LEEWAY, exp=NOON + LEEWAY + MAX_TOKEN_SECONDS)
    first = ask(function, made, body)
    assert_issued(function, first, "burner")
    function.delete_key_pairs()
    function.clock.time = NOON + LEEWAY + MAX_TOKEN_SECONDS + LEEWAY - 1
    assert ask(function, made, body).event == first.event
    function.clock.time += 1
    assert reason(function, ask(function, made, body)) == "bearer-expired"


def test_a_jti_is_kept_until_after_its_token_has_expired() -> None:
    """Even if the store's clock is fast."""
    clock, fast = TestClock(), TestClock(NOON + 29)
    nonces = Nonces(MemoryStore(fast.clock()))
    verifier = BearerVerifier(Policy.parse(BEARER_POLICY), nonces, clock.clock())
    event = sent(f"Bearer {once_token()}", {"keyName": "a"})
    assert verifier.authenticate(parse_event(event)).caller_id == "burner"
    clock.time += 329.9
    fast.time += 329.9 + 29
    with pytest.raises(Unauthenticated) as refused:
        verifier.authenticate(parse_event(sent(f"Bearer {once_token()}", {"keyName": "b"})))
    assert refused.value.reason == "nonce-used"


@pytest.mark.parametrize("jti", [None, "", "j" * 256, "a\nb", "a\x7f", "\ud800", "ä"])
def test_an_unusable_jti_is_refused(function: FunctionUnderTest, jti: str | None) -> None:
    assert reason(function, ask(function, once_token(jti=jti))) == "bearer-jti"


def test_only_a_valid_token_burns_its_jti(function: FunctionUnderTest) -> None:
    for bad in (
        token(NOBODY, claims(iss="once", sub="burner"), alg="RS256"),
        once_token(exp=NOON - 60),
        once_token(sub="somebody"),
    ):
        assert ask(function, bad).status == 401
    assert_issued(function, ask(function, once_token()), "burner")


def test_issuers_do_not_share_jtis(emulator: EmulatorProcess, tmp_path: Path) -> None:
    issuers = {name: issuer(name, algorithms=["ES256"], jwks={"keys": [jwk(EC)]}, once=True) for name in "ab"}
    policy = {"issuers": issuers, "callers": {name: caller(name, sub="backup") for name in "ab"}}
    function = bearer_function(emulator, tmp_path, policy)
    for name in "ab":
        assert_issued(function, ask(function, token(EC, claims(iss=name), alg="ES256")), name)
    function.delete_key_pairs()
