"""The keys of issuers, fetched over real HTTP: good responses, bad ones and none."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from handler.auth.jwks import FetchedKeys, choose, fetch_keys, fits
from handler.errors import IssuerUnavailable, Unauthenticated
from handler.http.fetch import THREAD_NAME, trusted_authorities
from handler.policy.model import TokenAlgorithm
from scripts.cvm_emulator.certificates import tls_context
from tests.support.bearer_function import (
    EC,
    RSA,
    ask,
    assert_issued,
    bearer_function,
    caller,
    claims,
    issuer,
    reason,
)
from tests.support.function_under_test import FunctionUnderTest, TestClock, nested
from tests.support.token_issuer import KeyServer, free_port, jwk, key_server, token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.emulator_process import EmulatorProcess

PASTED = Path(__file__).parents[1] / "support" / "pasted"
OLD, NEW = jwk(RSA, kid="old"), jwk(EC, kid="new")
A_DAY = 24 * 3600


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server() as server:
        server.publish(OLD)
        yield server


class Keys:
    """`FetchedKeys` with the test's clock."""

    def __init__(self, url: str) -> None:
        self.clock = TestClock()
        self.keys = FetchedKeys("test", url, self.clock.clock())

    def __call__(self, kid: str | None, algorithm: str = "RS256") -> object:
        """Return the key, or why there is none."""
        try:
            return self.keys.key(kid, algorithm)
        except (Unauthenticated, IssuerUnavailable) as refused:
            return refused.reason


# ---------------------------------------------------------------- which key fits


@pytest.mark.parametrize(
    ("member", "algorithm", "fitting"),
    [
        ({}, "RS256", True),
        ({}, "PS512", True),
        ({"alg": "RS256"}, "RS256", True),
        ({"alg": "RS256"}, "RS512", False),
        ({"alg": None, "use": None, "key_ops": None, "d": None}, "RS256", True),
        ({"use": "sig"}, "RS256", True),
        ({"use": "enc"}, "RS256", False),
        ({"key_ops": ["verify"]}, "RS256", True),
        ({"key_ops": ["encrypt", "verify"]}, "RS256", True),
        ({"key_ops": ["sign"]}, "RS256", False),
        ({"key_ops": []}, "RS256", False),
        ({"key_ops": "verify"}, "RS256", False),
        ({"d": "AQAB"}, "RS256", False),
        ({"kty": "oct", "k": "AQAB"}, "RS256", False),
        ({"kty": ["RSA"]}, "RS256", False),
        ({"crv": "P-256"}, "RS256", False),
        ({}, "ES256", False),
        ({}, "EdDSA", False),
    ],
)
def test_uses_of_an_rsa_key(member: dict[str, object], algorithm: str, fitting: bool) -> None:  # noqa: FBT001  # a column
    assert fits({**jwk(RSA), **member}, algorithm) == fitting


CURVED: Mapping[str, Mapping[str, object]] = {
    "ES256": jwk(EC),
    "ES384": jwk(ec.generate_private_key(ec.SECP384R1())),
    "ES512": jwk(ec.generate_private_key(ec.SECP521R1())),
    "EdDSA": jwk(ed25519.Ed25519PrivateKey.generate()),
    "nothing, for secp256k1": jwk(ec.generate_private_key(ec.SECP256K1())),
    "nothing, for Ed448": {**jwk(ed25519.Ed25519PrivateKey.generate()), "crv": "Ed448"},
    "nothing, for X25519": {**jwk(ed25519.Ed25519PrivateKey.generate()), "crv": "X25519"},
}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
@pytest.mark.parametrize("purpose", CURVED)
def test_each_curve_has_its_algorithm(purpose: str, algorithm: str) -> None:
    assert fits(CURVED[purpose], algorithm) == (purpose == algorithm)


def test_a_key_that_is_listed_twice_is_one_key() -> None:
    listed = json.loads((PASTED / "jwks-key-twice.json").read_text())["keys"]
    key = listed[0]
    assert choose(listed, "k1", "RS256") == key
    assert choose([key, {**key, "x5t": "AA"}], None, "RS256") == key


@pytest.mark.parametrize(
    ("algorithm", "number"), [("RS256", "n"), ("RS256", "e"), ("ES256", "x"), ("ES256", "y")]
)
def test_two_keys_with_one_id_are_ambiguous(algorithm: str, number: str) -> None:
    key = jwk(RSA if algorithm == "RS256" else EC, kid="k1")
    with pytest.raises(Unauthenticated) as refused:
        choose([key, {**key, number: "AQAD"}], "k1", algorithm)
    assert refused.value.reason == "bearer-key-ambiguous"


@pytest.mark.parametrize("algorithm", get_args(TokenAlgorithm))
def test_each_algorithm_of_a_policy_has_its_keys(algorithm: str) -> None:
    assert any(fits(key, algorithm) for key in [jwk(RSA), *CURVED.values()])


# ---------------------------------------------------------------- when is looked, and for how long it holds


def test_keys_are_fetched_once(server: KeyServer) -> None:
    keys = Keys(server.url)
    for _ in range(3):
        assert keys("old") == OLD
    assert keys(None) == OLD
    keys.clock.time += 299.9
    assert keys("old") == OLD
    assert (server.paths, server.accepts) == (["/keys?of=all"], ["application/json"])
    keys.clock.time += 0.1
    assert keys("old") == OLD
    assert len(server.paths) == 2


def test_rotation(server: KeyServer) -> None:
    """A new key is found at its first use. A withdrawn key becomes invalid within five minutes."""
    keys = Keys(server.url)
    assert keys("old") == OLD
    server.publish(OLD, NEW)
    keys.clock.time += 30
    assert keys("new", "ES256") == NEW
    assert keys("old") == OLD
    server.publish(NEW)
    keys.clock.time += 299.9
    assert keys("old") == OLD
    keys.clock.time += 0.1
    assert keys("old") == "bearer-key"
    assert keys("new", "ES256") == NEW
    assert len(server.paths) == 3


def test_made_up_keys_cause_one_fetch(server: KeyServer) -> None:
    keys = Keys(server.url)
    assert keys("old") == OLD
    keys.clock.time += 29.9
    for number in range(50):
        assert keys(f"made-up-{number}") == "bearer-key"
    assert len(server.paths) == 1
    keys.clock.time += 0.1
    for number in range(50):
        assert keys(f"made-up-{number}") == "bearer-key"
    assert len(server.paths) == 2


def test_concurrent_requests_cause_one_fetch(server: KeyServer) -> None:
    keys = Keys(server.url)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(keys, ["old", "made-up"] * 40)) == [OLD, "bearer-key"] * 40
    assert len(server.paths) == 1


def test_known_keys_stay_valid_for_a_day(server: KeyServer, caplog: pytest.LogCaptureFixture) -> None:
    keys = Keys(server.url)
    assert keys("old") == OLD
    server.status = 500
    keys.clock.time += 300
    assert keys("old") == OLD
    assert caplog.record_tuples == [("handler.auth.jwks", logging.WARNING, "issuers.test: issuer-status")]
    # Whether a key is new cannot be known; and not every request asks.
    for number in range(10):
        assert keys(f"made-up-{number}") == "issuer-status"
    assert len(server.paths) == 2
    keys.clock.time += A_DAY - 300.1
    assert keys("old") == OLD
    keys.clock.time += 0.1
    # The last look is less than a pause ago, and the keys are gone all the same.
    assert keys("old") == "issuer-status"
    assert len(server.paths) == 3
    server.status = 200
    keys.clock.time += 4.8
    assert keys("old") == "issuer-status"
    keys.clock.time += 0.2
    assert keys("old") == OLD
    assert keys("made-up") == "bearer-key"


def test_an_issuer_that_is_down_from_the_start(server: KeyServer) -> None:
    server.status = 503
    keys = Keys(server.url)
    for _ in range(10):
        assert keys("old") == "issuer-status"
    assert len(server.paths) == 1
    server.status = 200
    keys.clock.time += 5
    assert keys("old") == OLD


def test_an_issuer_that_withdraws_all_keys(server: KeyServer) -> None:
    keys = Keys(server.url)
    assert keys("old") == OLD
    server.publish()
    keys.clock.time += 300
    assert keys("old") == "bearer-key"


# ---------------------------------------------------------------- answers


def failure(url: str) -> str:
    with pytest.raises(IssuerUnavailable) as failed:
        fetch_keys(url)
    assert (failed.value.__context__, failed.value.__cause__) == (None, None)
    return failed.value.reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"keys": null}',
        b'{"keys": {}}',
        b'{"keys": [], "keys": []}',
        b'{"keys": [NaN]}',
        b'{"keys": [',
        b"\xff",
        b'{"keys": [], "more":' + b"[" * 32 + b"]" * 32 + b"}",
        b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"keys": []}' + b" " * (256 * 1024 - 11),
    ],
)
def test_responses_without_keys(server: KeyServer, body: bytes) -> None:
    server.body = body
    assert failure(server.url) == "issuer-answer"


def test_the_largest_response(server: KeyServer) -> None:
    server.body = b'{"keys": []}' + b" " * (256 * 1024 - 12)
    assert fetch_keys(server.url) == ()


def test_reading_stops_at_the_limit(server: KeyServer) -> None:
    """The server announces more than it could ever send."""
    server.headers = {"Content-Length": str(10**12)}
    server.body = b" " * (2 * 1024 * 1024)
    assert failure(server.url) == "issuer-answer"


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503])
def test_any_other_status(server: KeyServer, status: int) -> None:
    """Redirects are not followed: only the address in the policy is used."""
    with key_server() as elsewhere:
        server.status, server.headers = status, {"Location": elsewhere.url}
        assert failure(server.url) == "issuer-status"
        assert elsewhere.paths == []


def test_good_keys_among_unusable_ones(server: KeyServer) -> None:
    others: list[Any] = [
        None,
        5,
        "key",
        [],
        {},
        {"kty": "oct", "k": "AAAA", "kid": "old"},
        {"kty": "RSA"},
        nested(29),
    ]
    server.body = json.dumps({"keys": [*others, OLD]}).encode()
    assert Keys(server.url)("old") == OLD


def test_an_issuer_that_is_too_slow() -> None:
    """Before or within the response. No thread is left behind."""
    with key_server() as holding, key_server() as dripping, ThreadPoolExecutor() as pool:
        holding.holds = dripping.drips = True
        dripping.publish(OLD)
        urls = [holding.url, dripping.url]
        assert list(pool.map(failure, urls)) == ["issuer-no-answer"] * 2
        for thread in [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]:
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("url", ["https://a..b/", "http://127.0.0.1:{free}/"])
def test_addresses_where_nothing_listens(url: str) -> None:
    assert failure(url.format(free=free_port())) == "issuer-no-answer"


def test_a_response_with_a_wrong_length(server: KeyServer) -> None:
    server.headers = {"X": "y\r\nTransfer-Encoding: chunked"}
    assert failure(server.url) == "issuer-no-answer"


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = tls_context(tmp_path)
    with key_server(context) as server:
        server.publish(OLD)
        assert failure(server.url) == "issuer-no-answer"
        # OpenSSL's own variable, for an issuer with an authority of its own.
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert fetch_keys(server.url) == (OLD,)
        assert failure(server.url.replace("127.0.0.1", "127.0.0.2")) == "issuer-no-answer"
    assert server.paths == ["/keys?of=all"]


def test_a_machine_without_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert ssl.create_default_context().get_ca_certs() == []
    assert len(trusted_authorities().get_ca_certs()) > 50


# ---------------------------------------------------------------- through the front


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path, server: KeyServer) -> Iterator[FunctionUnderTest]:
    policy = {
        "issuers": {"test": issuer("test", algorithms=["RS256", "ES256"], jwks_url=server.url)},
        "callers": {"backup": caller("test", sub="backup")},
    }
    function = bearer_function(emulator, tmp_path, policy)
    yield function
    function.delete_key_pairs()


def test_responses_while_the_issuer_is_down(function: FunctionUnderTest, server: KeyServer) -> None:
    body, good = function.rest_body(), token(RSA, claims(iss="test"), alg="RS256", kid="old")
    server.status = 500
    before = function.create_calls()
    answer = ask(function, good, body)
    assert function.create_calls() == before
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "issuer-unavailable", "5")
    assert answer.json["title"] == "The token issuer cannot be reached."
    (line,) = function.audit_lines()
    assert (line["decision"], line["reason"], line["caller"]) == ("failed", "issuer-status", None)
    server.status = 200
    function.clock.time += 5
    assert_issued(function, ask(function, good, body), "backup")
    new = token(EC, claims(iss="test"), alg="ES256", kid="new")
    assert reason(function, ask(function, new)) == "bearer-key"
    server.publish(OLD, NEW)
    function.clock.time += 30
    assert_issued(function, ask(function, new), "backup")


def test_a_token_for_another_audience_causes_no_fetch(function: FunctionUnderTest, server: KeyServer) -> None:
    for changes in ({"aud": "elsewhere"}, {"iss": "nobody"}):
        ask(function, token(RSA, claims(**{"iss": "test", **changes}), alg="RS256", kid="old"))
    ask(function, token(RSA, claims(iss="test"), alg="RS512", kid="old"))
    assert server.paths == []
