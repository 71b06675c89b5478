"""schemathesis generates requests from the description and sends them, signed, to the function."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import settings, strategies
from requests.auth import AuthBase

from handler.api.pages import OPENAPI
from tests.support.emulator_process import running_emulator
from tests.support.function_process import FunctionProcess, running_function
from tests.support.function_under_test import (
    HOST,
    MASTER,
    RECIPIENT,
    REGION,
    REGISTERED,
    base64url,
    caller_secret,
    signature,
    utc_date,
)
from tests.support.random_cases import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest

pytestmark = [pytest.mark.process, pytest.mark.interpreter]

# Any, for mypy: on Python 3.10, which it runs on, there is no schemathesis.
schemathesis: Any = pytest.importorskip("schemathesis", reason="it needs Python 3.11")

CALLER = "demo"
POLICY = {
    # Its own look at what happens without a signature is not slowed down.
    "failed_rate": "999999/minute",
    "callers": {
        CALLER: {
            "tc3": True,
            "recipients": [str(REGISTERED.to_public())],
            "grants": [
                {
                    "names": ["*"],
                    "regions": [REGION],
                    "optional_tags": {"note": "*"},
                    "own_recipients": True,
                    "actions": ["create", "list", "delete", "import"],
                }
            ],
        }
    },
}
PUBLIC_KEY = "public-key"


def description() -> Any:  # noqa: ANN401  # a schema of schemathesis
    """Return the description, and with it what JSON Schema cannot say: which texts are public keys."""
    document: dict[str, Any] = json.loads(OPENAPI.read_text(encoding="ascii"))
    recipients = document["components"]["schemas"]["KeyPairRequest"]["properties"]["recipients"]
    recipients["anyOf"][0]["items"]["format"] = PUBLIC_KEY
    keys = strategies.sampled_from([str(key.to_public()) for key in (RECIPIENT, REGISTERED)])
    schemathesis.openapi.format(PUBLIC_KEY, keys)

    config = schemathesis.Config(seed=20261124)
    project = config.projects.default
    project.generation.with_security_parameters = False  # Tc3 does that
    # Those that the local Function URL knows.
    project.phases.coverage.unexpected_methods = {"get", "put", "post", "delete", "options", "patch"}
    # Random ids of key pairs name none.
    # What is well-formed may still not be granted, be there already, or not fit together. It is never a 400.
    project.checks.positive_data_acceptance.expected_statuses = ["201", "200", "403", "404", "409", "422"]
    return schemathesis.openapi.from_dict(document, config=config)


class Tc3(AuthBase):
    """Signs what is about to be sent, whatever it is."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if request.method not in ("GET", "POST", "DELETE"):
            return request
        path, _, query = request.path_url.partition("?")
        timestamp = int(time.time())
        under = {name.lower(): value for name, value in request.headers.items()} | {"host": HOST}
        names = sorted(under.keys() & {"content-type", "host", "idempotency-key"})
        body = request.body or b""
        made = signature(
            caller_secret(CALLER),
            path,
            method=request.method,
            query=urlencode(sorted(parse_qsl(query, keep_blank_values=True)), quote_via=quote, safe=""),
            canonical_headers="".join(f"{name}:{under[name].strip().lower()}\n" for name in names),
            signed_headers=";".join(names),
            body=body.encode() if isinstance(body, str) else body,
            timestamp=timestamp,
            service="cvm",
        )
        request.headers["X-TC-Timestamp"] = str(timestamp)
        request.headers["Authorization"] = (
            f"TC3-HMAC-SHA256 Credential={CALLER}/{utc_date(timestamp)}/cvm/tc3_request, "
            f"SignedHeaders={';'.join(names)}, Signature={made}"
        )
        return request


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    policy = tmp_path_factory.mktemp("policy") / "policy.json"
    policy.write_text(json.dumps(POLICY))
    with running_emulator(quota=100_000) as emulator:
        environment = {
            "KEYPAIR_REGION": REGION,
            "KEYPAIR_HOSTS": HOST,
            "KEYPAIR_MASTER_SECRET": base64url(MASTER),
            "KEYPAIR_CVM_ENDPOINT": emulator.cvm_endpoint,
            "TENCENTCLOUD_SECRETID": emulator.secret_id,
            "TENCENTCLOUD_SECRETKEY": emulator.secret_key,
        }
        with running_function(policy=policy, environment=environment) as running:
            yield running


ANSWERS: Counter[int] = Counter()


def all_checks(case: Any, function: FunctionProcess) -> None:  # noqa: ANN401  # of schemathesis
    response = case.call_and_validate(base_url=function.url, auth=Tc3())
    ANSWERS[response.status_code] += 1


test_all_checks = description().parametrize()(
    settings(deadline=None, max_examples=examples(20), database=None)(all_checks)
)


def test_requests_were_not_all_refused() -> None:
    """Not all requests were refused for the same reason, such as a wrong signature."""
    assert {200, 201, 400, 403, 405, 415, 422} <= ANSWERS.keys()
