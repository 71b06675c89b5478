"""No plain private key leaves the process on any path of the fault matrix, with all logging enabled."""

from __future__ import annotations

import base64
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from handler.cloud.sdk import Api
from tests.support.fault_cases import MATRIX
from tests.support.faults import Case, How, Matrix, Outcome, ScriptedCvm, Strike, Try, World, shared_matrix
from tests.support.leaks import leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handler.cloud.cvm import CreatedKeyPair

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning"),
]

SDK_LOGGERS = ("tencentcloud_sdk_common", "urllib3")


@pytest.fixture(scope="module")
def matrix(pytestconfig: pytest.Config) -> Matrix:
    return shared_matrix(pytestconfig)


def found_in(outcome: Outcome) -> list[str]:
    return [leak for private_key in outcome.private_keys for leak in leaks(private_key, outcome.traces)]


@pytest.mark.parametrize(
    ("case", "store"), [pytest.param(case, store, id=f"{store}: {case.name}") for case, store in MATRIX]
)
def test_no_slice_of_a_private_key_is_written_anywhere(matrix: Matrix, case: Case, store: str) -> None:
    outcome = matrix.outcome(case, store)
    assert found_in(outcome) == []
    # What was searched is what was meant to be: each place has something of this case in it.
    assert outcome.name.encode() in outcome.traces["audit"]
    assert b'"statusCode"' in outcome.traces["answers"]
    assert b"claim:" in outcome.traces["given to the store"]
    if store != "memory":
        assert b"claim:" in outcome.traces["store"] or case.step == "store: claim"


def test_the_log_of_the_matrix_is_recorded(matrix: Matrix) -> None:
    """A defect shows up in the recorded log, so the log is really captured."""
    case = next(case for case, _ in MATRIX if case.fault == "defect")
    assert b"RuntimeError in " in matrix.outcome(case, "memory").traces["log"]


class UnpinnedApi(Api):
    """The API without silenced SDK loggers."""

    def _client(self, seconds: float, *, fresh: bool) -> Any:  # noqa: ANN401  # as the base class
        client = super()._client(seconds, fresh=fresh)
        for name in SDK_LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            logger.propagate = True
        return client


class Unpinned(ScriptedCvm):
    """A client that uses UnpinnedApi."""

    def create_key_pair(self, name: str, project_id: int, tags: Any) -> CreatedKeyPair:  # noqa: ANN401  # as it is
        self._api = UnpinnedApi(**vars(self._api))
        return super().create_key_pair(name, project_id, tags)


@pytest.fixture
def loggers_restored() -> Iterator[None]:
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in SDK_LOGGERS]
    propagated = [logger.propagate for logger, _ in before]
    yield
    for (logger, level), propagate in zip(before, propagated, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.mark.usefixtures("loggers_restored")
@pytest.mark.parametrize(
    "tried",
    [Try(), Try((Strike("audit", 2, How.ERROR),)), Try((Strike("look", 1, How.KILL_BEFORE),))],
    ids=["issued", "audit down", "killed"],
)
def test_the_search_finds_the_key_if_the_sdk_logs(tried: Try) -> None:
    with ExitStack() as stack:
        world = World("sqlite", stack, Unpinned)
        outcome = world.run(Case("unpinned", "none", (tried,), later=True))
    assert len(outcome.private_keys) >= 1
    for private_key in outcome.private_keys:
        found = leaks(private_key, outcome.traces)
        assert "PEM line in log" in found
        assert "base64 in log" in found


KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
NUMBERS = KEY.private_numbers()
DER = KEY.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
PRIME = NUMBERS.p.to_bytes(128, "big")


def private_form(form: PrivateFormat) -> bytes:
    return KEY.private_bytes(Encoding.PEM, form, NoEncryption())


@pytest.mark.parametrize(
    "written",
    [
        PEM.encode,
        lambda: PEM.replace("\n", "\\n").encode(),
        PEM.splitlines()[1].encode,
        PEM.splitlines()[-3].encode,
        lambda: private_form(PrivateFormat.PKCS8),
        lambda: private_form(PrivateFormat.OpenSSH),
        lambda: PEM.encode().hex().encode(),
        lambda: base64.b64encode(b"1" + PEM.encode()),
        lambda: DER,
        lambda: DER[700:732],
        lambda: DER.hex().encode(),
        lambda: DER.hex().upper().encode(),
        lambda: base64.b64encode(b"1" + DER),
        lambda: base64.b64encode(b"12" + DER),
        lambda: base64.b64encode(b"123" + DER),
        lambda: base64.urlsafe_b64encode(DER),
        lambda: base64.b64encode(DER)[800:832],
        lambda: PRIME,
        lambda: PRIME.hex().encode(),
        lambda: base64.b64encode(PRIME),
        lambda: str(NUMBERS.p).encode(),
        lambda: str(NUMBERS.q).encode(),
        str(NUMBERS.d)[100:140].encode,
    ],
)
def test_the_search_finds_every_encoding(written: Callable[[], bytes]) -> None:
    assert leaks(PEM, {"trace": b"before " + written() + b" after"})


@pytest.mark.parametrize("encoding", ["ssh", "der", "pem", "number", "hex"])
def test_the_search_ignores_public_keys(encoding: str) -> None:
    from cryptography.hazmat.primitives.serialization import PublicFormat

    public = KEY.public_key()
    written = {
        "ssh": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "number": str(NUMBERS.public_numbers.n).encode(),
        "hex": f"{NUMBERS.public_numbers.n:x}".encode(),
    }[encoding]
    assert leaks(PEM, {"trace": written}) == []
