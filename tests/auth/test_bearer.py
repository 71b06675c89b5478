"""Bearer tokens that are accepted, and the callers that they identify."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handler.auth.bearer import MAX_TOKEN_SECONDS, BearerVerifier
from handler.auth.nonces import Nonces
from handler.errors import Unauthenticated
from handler.policy.model import Policy
from handler.scf.events import parse_event
from handler.store.memory import MemoryStore
from tests.support.bearer_function import (
    AUDIENCE,
    BEARER_POLICY,
    EC,
    EC_384,
    EC_521,
    ED,
    RSA,
    RSA_OTHER,
    Maker,
    ask,
    assert_issued,
    bearer_function,
    caller,
    claims,
    ec_token,
    ed_token,
    issuer,
    reason,
    rsa_token,
    sent,
)
from tests.support.function_process import clean_environment
from tests.support.function_under_test import NOON, REST, FunctionUnderTest, TestClock, fresh_name, nested
from tests.support.token_issuer import free_port, jwk, key_server, openid_provider, token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.emulator_process import EmulatorProcess

ROOT = Path(__file__).parents[2]


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[FunctionUnderTest]:
    function = bearer_function(emulator, tmp_path)
    yield function
    function.delete_key_pairs()


# ---------------------------------------------------------------- who gets in

GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.example.com"
# https://docs.github.com/en/actions/reference/security/oidc: ids are texts.
GITHUB_CLAIMS = {
    "iss": GITHUB,
    "sub": "repo:octo-org/octo-repo:environment:production",
    "repository": "octo-org/octo-repo",
    "repository_id": "74",
    "environment": "production",
    "run_attempt": "2",
}
# https://docs.gitlab.com/ci/secrets/id_token_authentication/: so are truth values.
GITLAB_CLAIMS = {
    "iss": GITLAB,
    "sub": "project_path:mygroup/myproject:ref_type:branch:ref:main",
    "project_id": "20",
    "ref_protected": "true",
    "nbf": NOON - 5,
    "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
}


def test_tokens_of_two_ci_services(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with key_server() as github, key_server() as gitlab:
        github.publish(jwk(RSA, kid="a", use="sig", alg="RS256"), jwk(EC, kid="b"))
        gitlab.publish(jwk(RSA_OTHER, kid="a", use="sig", alg="RS256"))
        policy = {
            "issuers": {
                "github": issuer(GITHUB, algorithms=["RS256"], jwks_url=github.url),
                "gitlab": issuer(GITLAB, algorithms=["RS256"], jwks_url=gitlab.url),
            },
            "callers": {
                "deploy": caller("github", repository_id="74", environment="production"),
                "mirror": caller("gitlab", project_id="20", ref_protected="true"),
            },
        }
        function = bearer_function(emulator, tmp_path, policy)
        for caller_id, key, said in (("deploy", RSA, GITHUB_CLAIMS), ("mirror", RSA_OTHER, GITLAB_CLAIMS)):
            answer = ask(function, token(key, claims(**said), alg="RS256", kid="a"))
            assert_issued(function, answer, caller_id)
            # One issuer's key is worth nothing in the name of the other.
            swapped = RSA if key is RSA_OTHER else RSA_OTHER
            assert reason(function, ask(function, token(swapped, claims(**said), alg="RS256", kid="a"))) == (
                "bearer-signature"
            )
        assert (github.paths, gitlab.paths) == (["/keys?of=all"], ["/keys?of=all"])
        function.delete_key_pairs()


@pytest.mark.parametrize(
    "good",
    [
        rsa_token,
        ec_token,
        ed_token,
        Maker(RSA, "RS512", "rsa"),
        Maker(RSA, "PS256", "rsa"),
        Maker(RSA_OTHER, "PS256", "rsa-ps"),
        Maker(EC_384, "ES384", "ec-384"),
        Maker(EC_521, "ES512", "ec-521"),
    ],
    ids=lambda good: f"{good.alg} by {good.kid}",
)
def test_tokens_that_a_service_signs_itself(function: FunctionUnderTest, good: Maker) -> None:
    """With its own key, whose public half is in the policy."""
    assert_issued(function, ask(function, good()), "backup")


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    return header


@pytest.mark.process
def test_tokens_of_a_real_openid_provider(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """From discovery to a token, and again after a restart with other keys."""
    port = free_port()
    with openid_provider(port) as provider:
        policy = {
            "issuers": {
                "mock": issuer(
                    provider.configuration["issuer"],
                    algorithms=provider.configuration["id_token_signing_alg_values_supported"],
                    jwks_url=provider.configuration["jwks_uri"],
                )
            },
            "callers": {"deploy": caller("mock", repository_id="74", environment="production")},
        }
        function = bearer_function(emulator, tmp_path, policy)
        function.clock.time = time.time()
        first = provider.identity_token(AUDIENCE, "ci", repository_id="74", environment="production")
        assert_issued(function, ask(function, first), "deploy")
        other = provider.identity_token(AUDIENCE, "ci", repository_id="74", environment="staging")
        assert reason(function, ask(function, other)) == "bearer-no-caller"
        elsewhere = provider.identity_token("elsewhere", "ci", repository_id="74", environment="production")
        assert reason(function, ask(function, elsewhere)) == "bearer-audience"
    assert_issued(function, ask(function, first), "deploy")
    with openid_provider(port) as provider:
        second = provider.identity_token(AUDIENCE, "ci", repository_id="74", environment="production")
        # From version 0.4 on its tokens name their key. Without a name, the one known key is tried.
        unknown_key = "bearer-key" if "kid" in header_of(second) else "bearer-signature"
        assert reason(function, ask(function, second)) == unknown_key
        function.clock.time += 300
        assert_issued(function, ask(function, second), "deploy")
        assert reason(function, ask(function, first)) == unknown_key
    function.delete_key_pairs()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])
def test_the_scheme_s_case_does_not_matter(function: FunctionUnderTest, scheme: str) -> None:
    answer = function.call(sent(f"{scheme} {rsa_token()}", function.rest_body()))
    assert_issued(function, answer, "backup")


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "application/jwt", None])
def test_types_of_tokens(function: FunctionUnderTest, typ: str | None) -> None:
    assert_issued(function, ask(function, token(RSA, claims(), alg="RS256", kid="rsa", typ=typ)), "backup")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [AUDIENCE]},
        {"exp": NOON - 29.999, "iat": NOON - 60},
        {"exp": NOON + 0.5},
        {"iat": NOON + 30},
        {"iat": NOON + 30.0, "nbf": NOON + 30},
        {"nbf": 0},
        {"exp": NOON + MAX_TOKEN_SECONDS},
        {"exp": NOON - 10, "iat": NOON - MAX_TOKEN_SECONDS - 10},
        {"jti": None},
        {"jti": "\ud800"},
        {"more": {"nested": [None, True, 1.5]}, "sub": "backup"},
        {"more": nested(31)},
        {"more": [nested(30), nested(30), "[" * 99, '\\"' + "{" * 99]},
    ],
)
def test_claims_at_the_edges(function: FunctionUnderTest, changes: dict[str, Any]) -> None:
    assert_issued(function, ask(function, rsa_token(**changes)), "backup")


def test_a_token_of_exactly_15_kib(function: FunctionUnderTest) -> None:
    made = {len(made): made for made in (ed_token(padding="p" * size) for size in range(11230, 11290))}
    assert_issued(function, ask(function, made[15360]), "backup")
    assert reason(function, ask(function, made[15361])) == "bearer-malformed"


@pytest.mark.parametrize(
    ("said", "caller_id"),
    [
        ({"sub": "typed", "level": 1}, "number"),
        ({"sub": "typed", "level": True}, "truth"),
        ({"sub": "both", "left": "x"}, "one-of-two"),
        ({"sub": "both", "left": "y", "right": "x"}, "two-of-two"),
        ({"sub": "twin"}, "two-proofs"),
        ({"sub": "somebody", "twin": "yes"}, "two-proofs"),
        ({"sub": "twin", "twin": "yes"}, "two-proofs"),
    ],
)
def test_claims_identify_the_caller(
    function: FunctionUnderTest, said: dict[str, object], caller_id: str
) -> None:
    assert_issued(function, ask(function, ed_token(**said)), caller_id)


@pytest.mark.parametrize("good", [Maker(RSA, "RS256", None), Maker(EC, "ES256", None)])
def test_a_token_without_kid_needs_the_one_key_of_its_kind(function: FunctionUnderTest, good: Maker) -> None:
    assert_issued(function, ask(function, good(iss="single")), "anonymous-key")
    assert reason(function, ask(function, good())) == "bearer-key-ambiguous"


def test_a_token_by_the_name_of_rfc_9864(function: FunctionUnderTest) -> None:
    """The issuer's policy and its key say EdDSA."""
    assert_issued(function, ask(function, Maker(ED, "Ed25519", "ed")()), "backup")


def test_an_issuer_without_callers(emulator: EmulatorProcess, tmp_path: Path) -> None:
    policy = {**BEARER_POLICY, "callers": {"demo": BEARER_POLICY["callers"]["demo"]}}
    function = bearer_function(emulator, tmp_path, policy)
    assert reason(function, ask(function, rsa_token())) == "bearer-no-caller"


def test_one_issuer_for_two_audiences(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Each audience has its own rules, for example one for people and one for machines."""
    service = BEARER_POLICY["issuers"]["service"]
    policy = {
        "issuers": {"first": service, "second": {**service, "audience": "second", "algorithms": ["ES256"]}},
        "callers": {"a": caller("first", sub="backup"), "b": caller("second", sub="backup")},
    }
    function = bearer_function(emulator, tmp_path, policy)
    assert_issued(function, ask(function, rsa_token()), "a")
    assert_issued(function, ask(function, ec_token(aud="second")), "b")
    assert reason(function, ask(function, rsa_token(aud="second"))) == "bearer-algorithm"
    function.delete_key_pairs()


# ---------------------------------------------------------------- what else holds


def test_errors_have_no_context() -> None:
    """Errors of PyJWT may hold the token or the key, so they must not be the context of ours."""
    verifier = BearerVerifier(
        Policy.parse(BEARER_POLICY), Nonces(MemoryStore(TestClock().clock())), TestClock().clock()
    )
    good = rsa_token()
    for bad in (
        f"{good[:-4]}AAAA",
        "e30.e30.e30",
        "a.b.c",
        token(EC, claims(), alg="ES256", kid="off-curve"),
    ):
        with pytest.raises(Unauthenticated) as refused:
            verifier.authenticate(parse_event(sent(f"Bearer {bad}", {})))
        assert (refused.value.__context__, refused.value.__cause__) == (None, None)


@pytest.mark.process
def test_only_tokens_load_the_library_for_them(function: FunctionUnderTest) -> None:
    """Issuers in the policy do not load it. In a new process: a signed request, then one with a token."""
    program = """
import json, sys
from handler.index import main_handler
loaded = []
for event in json.load(sys.stdin):
    main_handler(event, None)
    loaded.append([name for name in ("jwt", "certifi") if name in sys.modules])
print(json.dumps(loaded))
"""
    signed = function.signed(
        REST, {"keyName": fresh_name(), "recipients": ["none"]}, timestamp=int(time.time())
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        input=json.dumps([signed, sent(f"Bearer {rsa_token()}", {})]),
        env=clean_environment() | function.environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *audited, loaded = done.stdout.splitlines()
    assert [json.loads(line)["reason"] for line in audited] == ["recipient-unknown", "bearer-expired"]
    assert json.loads(loaded) == [[], ["jwt"]]
