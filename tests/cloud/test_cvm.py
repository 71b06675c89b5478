"""The CVM client: how it interprets each response and each missing response."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import parse_headers
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from handler import errors
from handler.cloud.cvm import ANSWER_RESERVE, CALL_MINIMUM, UNDO_RESERVE, Cvm
from handler.cloud.sdk import IDLE_SECONDS
from handler.scf.invocation import Clock, Credentials, Deadline
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.function_under_test import REGION, fresh_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning"),
]

ACTIONS = ("CreateKeyPair", "DescribeKeyPairs", "ModifyKeyPairAttribute", "DeleteKeyPairs")
TAGS = {"keypair-function:caller": "mark", "team": "core"}
CREDENTIALS = Credentials("AKIDnobody", "secret")
SHORT = 1.1
"""Seconds for a call that should time out; slightly more than CALL_MINIMUM."""


@dataclass
class Time:
    """Time that passes in pauses, which are recorded and take none; with `real`, as it does besides."""

    real: bool = False
    paused: list[float] = field(default_factory=list)

    def clock(self) -> Clock:
        return Clock(monotonic=self._now, sleep=self.paused.append)

    def _now(self) -> float:
        return sum(self.paused) + (time.monotonic() if self.real else 0.0)


def client(
    endpoint: str,
    credentials: Credentials = CREDENTIALS,
    *,
    seconds: float = 20,
    times: Time | None = None,
    jitter: float = 1,
) -> Cvm:
    clock = (times or Time(real=True)).clock()
    deadline = Deadline(clock, clock.monotonic() + seconds)
    return Cvm(credentials, REGION, deadline, jitter=lambda: jitter, endpoint=endpoint)


def credentials_of(emulator: EmulatorProcess) -> Credentials:
    return Credentials(emulator.secret_id, emulator.secret_key, emulator.token or None)


@dataclass
class Account:
    """The emulator, with calls counted from the beginning of a test."""

    emulator: EmulatorProcess

    def __post_init__(self) -> None:
        self.before = self.emulator.state()["calls"]

    def cvm(self, *, seconds: float = 20, times: Time | None = None, jitter: float = 1) -> Cvm:
        return client(
            self.emulator.cvm_endpoint,
            credentials_of(self.emulator),
            seconds=seconds,
            times=times,
            jitter=jitter,
        )

    def calls(self, action: str) -> int:
        return self.emulator.calls(action) - int(self.before.get(action, 0))

    def names(self) -> list[str]:
        return [pair["KeyName"] for pair in self.emulator.key_pairs()]


@pytest.fixture
def account(emulator: EmulatorProcess) -> Iterator[Account]:
    yield Account(emulator)
    emulator.control("DELETE", "/faults")
    for pair in emulator.key_pairs():
        emulator.control("DELETE", f"/key-pairs/{pair['KeyId']}/bind")
        client(emulator.cvm_endpoint, credentials_of(emulator)).delete_key_pair(pair["KeyId"])
    assert emulator.key_pairs() == []


def raised_by(call: Callable[[], object]) -> tuple[type[errors.KeyPairFunctionError], str]:
    with pytest.raises(errors.KeyPairFunctionError) as raised:
        call()
    # An exception that quotes a response could quote a key.
    assert raised.value.__context__ is None or raised.value.__suppress_context__
    return type(raised.value), raised.value.reason


# CreateKeyPair.


def test_create_describe_delete(account: Account) -> None:
    name = fresh_name()
    cvm = account.cvm()
    created = cvm.create_key_pair(name, 1234, TAGS)
    (listed,) = account.emulator.key_pairs()
    assert (created.key_id, created.key_name) == (listed["KeyId"], name)
    assert created.public_key == listed["PublicKey"]
    assert created.private_key.get_secret_value().decode() == account.emulator.private_keys()[-1]
    assert len(created.request_id) == 36
    assert listed["ProjectId"] == 1234

    (found,) = cvm.find_key_pairs(name)
    assert (found.key_id, found.key_name, found.tags) == (created.key_id, name, TAGS)
    assert (found.created_at, found.description) == (listed["CreatedTime"], "")
    assert cvm.tagged_key_pairs() == [found]
    assert cvm.find_key_pairs(fresh_name()) == []

    cvm.set_description(created.key_id, "issued")
    (found,) = cvm.find_key_pairs(name)
    assert (found.key_name, found.tags, found.description) == (name, TAGS, "issued")

    assert cvm.delete_key_pair(created.key_id)
    assert account.names() == []
    assert cvm.delete_key_pair(created.key_id)  # gone already
    assert [account.calls(action) for action in ACTIONS] == [1, 4, 1, 2]


def test_nothing_shows_a_private_key(account: Account) -> None:
    created = account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    assert "PRIVATE KEY" in created.private_key.get_secret_value().decode()
    assert "PRIVATE KEY" not in f"{created!r}{created}"


HARMLESS: list[dict[str, object]] = [
    {"kind": "content-type"},
    {"kind": "content-type", "value": "text/plain"},
    {"kind": "content-type", "value": "text/html"},
    {"kind": "delay", "seconds": 0.1},
    {"kind": "delay", "seconds": 0.1, "after": "before"},
    {"kind": "dribble", "milliseconds": 0},
    # Wrong, and for `handler.issuance.key_material` and `handler.issuance.issuer` to find out.
    {"kind": "mismatch"},
    {"kind": "weak"},
    {"kind": "no-final-newline"},
    {"kind": "skey-comment"},
    {"kind": "other-name"},
    {"kind": "extra-text"},
]


@pytest.mark.parametrize("fault", HARMLESS, ids=str)
def test_readable_responses(account: Account, fault: dict[str, object]) -> None:
    name = fresh_name()
    account.emulator.add_faults(fault)
    created = account.cvm().create_key_pair(name, 0, TAGS)
    assert created.key_name == ("another_name" if fault["kind"] == "other-name" else name)
    assert created.key_id == account.emulator.key_pairs()[0]["KeyId"]
    assert account.calls("CreateKeyPair") == 1


PAGES: list[tuple[dict[str, object], str, bool]] = [
    ({"kind": "http-status", "status": status, "after": after}, "create-ServerNetworkError", made)
    for status in (201, 204, 400, 403, 404, 429, 500, 502, 503, 504)
    for after, made in (("effect", True), ("before", False))
]
AMBIGUOUS: list[tuple[dict[str, object], str, bool]] = [
    *PAGES,
    ({"kind": "cut"}, "create-ClientNetworkError", True),
    ({"kind": "cut", "after": "before"}, "create-ClientNetworkError", False),
    ({"kind": "truncate"}, "create-ClientReadError", True),
    ({"kind": "truncate", "honest": False}, "create-ClientNetworkError", True),
    ({"kind": "undecodable"}, "create-ClientReadError", True),
    ({"kind": "no-keypair"}, "create-undecodable", True),
    ({"kind": "error", "code": "InternalServerError", "after": "effect"}, "create-InternalServerError", True),
]


@pytest.mark.parametrize(("fault", "reason", "made"), AMBIGUOUS, ids=str)
def test_an_unclear_response_is_unknown_and_not_repeated(
    account: Account, fault: dict[str, object], reason: str, *, made: bool
) -> None:
    name = fresh_name()
    account.emulator.add_faults(fault)
    cvm = account.cvm()
    assert raised_by(lambda: cvm.create_key_pair(name, 0, TAGS)) == (errors.OutcomeUnknown, reason)
    assert account.calls("CreateKeyPair") == 1
    assert account.names() == ([name] if made else [])


REFUSED, UNKNOWN = errors.CloudRefused, errors.OutcomeUnknown
CODES: dict[str, tuple[type[errors.KeyPairFunctionError], str]] = {
    # CreateKeyPair's own, https://cloud.tencent.com/document/api/213/15702
    "FailedOperation.TagKeyReserved": (errors.TagsRefused, "tags-refused"),
    "InternalServerError": (UNKNOWN, "create-InternalServerError"),
    "InvalidKeyPair.LimitExceeded": (errors.QuotaReached, "quota-reached"),
    "InvalidKeyPairName.Duplicate": (errors.NameTaken, "name-taken"),
    "InvalidKeyPairNameEmpty": (REFUSED, "cloud-InvalidKeyPairNameEmpty"),
    "InvalidKeyPairNameIncludeIllegalChar": (REFUSED, "cloud-InvalidKeyPairNameIncludeIllegalChar"),
    "InvalidKeyPairNameTooLong": (REFUSED, "cloud-InvalidKeyPairNameTooLong"),
    "InvalidParameterValue": (REFUSED, "cloud-InvalidParameterValue"),
    "InvalidProjectId.NotFound": (errors.ProjectNotFound, "project-not-found"),
    "InvalidPublicKey.Duplicate": (errors.PublicKeyTaken, "public-key-taken"),
    "InvalidPublicKey.Malformed": (REFUSED, "cloud-InvalidPublicKey"),
    "LimitExceeded.TagResourceQuota": (errors.QuotaReached, "tag-quota"),
    "LimitExceeded.TagValue": (errors.QuotaReached, "tag-quota"),
    "FailedOperation.IllegalTagKey": (errors.TagsRefused, "tags-refused"),
    "InvalidAccount.InsufficientBalance": (REFUSED, "cloud-InvalidAccount"),
    "OperationDenied": (REFUSED, "cloud-OperationDenied"),
    "MissingParameter": (REFUSED, "cloud-MissingParameter"),
    # Common ones
    **{
        f"AuthFailure.{code}": (REFUSED, "cloud-AuthFailure")
        for code in (
            "CamRoleNameAuthenticateFailed",
            "InvalidAuthorization",
            "InvalidSecretId",
            "MFAFailure",
            "SecretIdNotFound",
            "SignatureExpire",
            "SignatureFailure",
            "TokenFailure",
            "UnauthorizedOperation",
        )
    },
    **{
        f"UnauthorizedOperation{code}": (REFUSED, "cloud-UnauthorizedOperation")
        for code in ("", ".InvalidToken", ".MFAExpired", ".MFANotFound", ".PermissionDenied")
    },
    **{
        code: (REFUSED, f"cloud-{code}")
        for code in (
            "InvalidAction",
            "InvalidParameter",
            "InvalidRequest",
            "IpInBlacklist",
            "IpNotInWhitelist",
            "LimitExceeded",
            "NoSuchProduct",
            "NoSuchVersion",
            "UnknownParameter",
            "UnsupportedOperation",
            "UnsupportedProtocol",
            "UnsupportedRegion",
        )
    },
    **{
        code: (UNKNOWN, f"create-{code}")
        for code in (
            "ActionOffline",
            "DryRunOperation",
            "FailedOperation",
            "InternalError",
            "RequestSizeLimitExceeded",
            "ResourceInUse",
            "ResourceInsufficient",
            "ResourceNotFound",
            "ResourceUnavailable",
            "ResponseSizeLimitExceeded",
            "ServiceUnavailable",
            "NeverHeardOf",
        )
    },
    # Not a valid code, so nothing of it goes into the audit log.
    "": (UNKNOWN, "create-unreadable"),
    "a b": (UNKNOWN, "create-unreadable"),
    "line\nbreak": (UNKNOWN, "create-unreadable"),
    "A" * 65: (UNKNOWN, "create-unreadable"),
    "错误": (UNKNOWN, "create-unreadable"),
}


@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-8"])
@pytest.mark.parametrize("code", CODES, ids=repr)
def test_each_code_of_a_create(account: Account, code: str, content_type: str | None) -> None:
    if content_type is None:
        account.emulator.add_faults({"kind": "error", "code": code})
        endpoint = account.emulator.cvm_endpoint
        cvm = client(endpoint, credentials_of(account.emulator))
        assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, TAGS)) == CODES[code]
        assert account.calls("CreateKeyPair") == 1
        return
    # The emulator has one fault a call, so here the answer comes from a script.
    answer = {"Response": {"Error": {"Code": code, "Message": "m"}, "RequestId": "r"}}
    with scripted(http_answer(answer, content_type)) as server:
        cvm = client(server.url)
        assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, TAGS)) == CODES[code]
        assert server.requests == 1


def test_refusals_by_the_account(account: Account) -> None:
    name = fresh_name()
    cvm = account.cvm()
    cvm.create_key_pair(name, 0, TAGS)
    assert raised_by(lambda: cvm.create_key_pair(name, 0, TAGS)) == (errors.NameTaken, "name-taken")
    assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 7, TAGS))[0] is errors.ProjectNotFound
    reserved = {**TAGS, "qcs:x": "y"}
    assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, reserved))[0] is errors.TagsRefused
    assert account.names() == [name]


def test_the_request_id_of_a_failed_call_is_kept(account: Account) -> None:
    account.emulator.add_faults({"kind": "error", "code": "InternalError"})
    with pytest.raises(errors.OutcomeUnknown) as raised:
        account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    assert raised.value.upstream is not None
    assert len(raised.value.upstream.request_id) == 36


# Throttling.


@pytest.mark.parametrize(
    ("jitter", "pauses"), [(1.0, [0.2, 0.4, 0.8, 1.6, 2.0]), (0.0, [0.1, 0.2, 0.4, 0.8, 1.0])]
)
def test_only_a_throttled_call_is_repeated_after_a_growing_pause(
    account: Account, jitter: float, pauses: list[float]
) -> None:
    name, times = fresh_name(), Time()
    account.emulator.add_faults({"kind": "throttle", "times": 5})
    account.cvm(times=times, jitter=jitter).create_key_pair(name, 0, TAGS)
    assert times.paused == pytest.approx(pauses)
    assert account.calls("CreateKeyPair") == 6
    assert account.names() == [name]


@pytest.mark.parametrize(
    "code",
    [
        "RequestLimitExceeded",
        "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
        "RequestLimitExceeded.IPLimitExceeded",
        "RequestLimitExceeded.UinLimitExceeded",
    ],
)
def test_each_code_of_throttling(account: Account, code: str) -> None:
    account.emulator.add_faults({"kind": "error", "code": code})
    account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    assert account.calls("CreateKeyPair") == 2


def test_endless_throttling_ends_when_time_is_up(account: Account) -> None:
    account.emulator.add_faults({"kind": "throttle", "times": 100})
    times = Time()
    cvm = account.cvm(seconds=10, times=times)
    assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, TAGS)) == (errors.CloudBusy, "cloud-busy")
    # Of 10 s the undo keeps 5, and a call takes 1: after these 3.0, the next 2.0 would be too long.
    assert times.paused == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert account.calls("CreateKeyPair") == 5
    assert account.names() == []


def test_a_repeated_call_without_response_is_unknown(account: Account) -> None:
    account.emulator.add_faults({"kind": "throttle"}, {"kind": "cut"})
    cvm = account.cvm()
    expected = (errors.OutcomeUnknown, "create-ClientNetworkError")
    assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, TAGS)) == expected
    assert account.calls("CreateKeyPair") == 2


# Time.


SLOW: list[dict[str, object]] = [
    {"kind": "delay", "seconds": 4},
    {"kind": "dribble", "milliseconds": 30},  # no single read is slow
    {"kind": "dribble", "milliseconds": 4000},
]


@pytest.mark.parametrize("fault", SLOW, ids=str)
def test_a_create_leaves_time_for_its_removal(account: Account, fault: dict[str, object]) -> None:
    name = fresh_name()
    account.emulator.add_faults(fault)
    cvm = account.cvm(seconds=UNDO_RESERVE + SHORT)
    expected = (errors.OutcomeUnknown, "create-ClientNetworkError")
    assert raised_by(lambda: cvm.create_key_pair(name, 0, TAGS)) == expected
    assert account.calls("CreateKeyPair") == 1
    # The reserved time is enough to find and remove the key pair.
    (pair,) = cvm.find_key_pairs(name)
    assert cvm.delete_key_pair(pair.key_id)


@pytest.mark.parametrize("fault", SLOW, ids=str)
def test_describe_and_delete_leave_time_to_respond(account: Account, fault: dict[str, object]) -> None:
    account.emulator.add_faults(
        {**fault, "action": "DescribeKeyPairs"}, {**fault, "action": "DeleteKeyPairs"}
    )
    created = account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    seconds = ANSWER_RESERVE + SHORT
    cvm = account.cvm(seconds=seconds)
    expected = (errors.OutcomeUnknown, "describe-ClientNetworkError")
    assert raised_by(cvm.tagged_key_pairs) == expected
    cvm = account.cvm(seconds=seconds)
    expected = (errors.OutcomeUnknown, "delete-ClientNetworkError")
    assert raised_by(lambda: cvm.delete_key_pair(created.key_id)) == expected


def test_no_call_is_begun_without_time(account: Account) -> None:
    short = account.cvm(seconds=UNDO_RESERVE + CALL_MINIMUM - 0.01)
    assert raised_by(lambda: short.create_key_pair(fresh_name(), 0, TAGS))[0] is errors.OutOfTime
    shorter = account.cvm(seconds=ANSWER_RESERVE + CALL_MINIMUM - 0.01)
    assert raised_by(shorter.tagged_key_pairs)[0] is errors.OutOfTime
    assert raised_by(lambda: shorter.delete_key_pair("skey-00000000"))[0] is errors.OutOfTime
    # A key pair that cannot be described has to be removed.
    assert raised_by(lambda: short.set_description("skey-00000000", "issued"))[0] is errors.OutOfTime
    assert [account.calls(action) for action in ACTIONS] == [0, 0, 0, 0]


# Connections.


def test_nothing_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        cvm = client(f"http://127.0.0.1:{reserved.getsockname()[1]}")
        assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, TAGS)) == (
            errors.CloudUnreachable,
            "cloud-unreachable",
        )
        assert raised_by(cvm.tagged_key_pairs) == (errors.OutcomeUnknown, "describe-ClientNetworkError")
        assert raised_by(lambda: cvm.delete_key_pair("skey-00000000")) == (
            errors.OutcomeUnknown,
            "delete-ClientNetworkError",
        )
        assert raised_by(lambda: cvm.set_description("skey-00000000", "issued")) == (
            errors.CloudUnreachable,
            "modify-ClientNetworkError",
        )


def test_a_connection_that_is_not_established_in_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # One waits to be accepted; Linux drops the next ones' SYN.
        waiting = [socket.socket() for _ in range(3)]
        try:
            for one in waiting:
                one.setblocking(False)  # noqa: FBT003  # positional only
                one.connect_ex(listener.getsockname())
            cvm = client(
                f"http://127.0.0.1:{listener.getsockname()[1]}", seconds=UNDO_RESERVE + CALL_MINIMUM + 0.1
            )
            expected = (errors.CloudUnreachable, "cloud-unreachable")
            assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, TAGS)) == expected
        finally:
            for one in waiting:
                one.close()


def test_a_certificate_of_an_unknown_authority_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_emulator(tls=tmp_path / "tls") as emulator:
        # Not a way in either: only the SDK's own list counts.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.info["authorityFile"]))
        monkeypatch.setenv("SSL_CERT_FILE", str(emulator.info["authorityFile"]))
        cvm = client(emulator.cvm_endpoint, credentials_of(emulator))
        expected = (errors.OutcomeUnknown, "create-ClientNetworkError")
        assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, TAGS)) == expected
        assert emulator.state()["calls"] == {}


@pytest.mark.parametrize("after", ["before", "effect"])
def test_redirects_are_not_followed(account: Account, after: str) -> None:
    with scripted(http_answer({"Response": {}})) as elsewhere:
        fault = {"kind": "redirect", "location": elsewhere.url, "after": after}
        for action in ("CreateKeyPair", "DescribeKeyPairs", "DeleteKeyPairs"):
            account.emulator.add_faults({**fault, "action": action})
        cvm = account.cvm()
        expected = (errors.OutcomeUnknown, "create-ClientNetworkError")
        assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, TAGS)) == expected
        assert raised_by(cvm.tagged_key_pairs) == (errors.OutcomeUnknown, "describe-ClientNetworkError")
        assert raised_by(lambda: cvm.delete_key_pair("skey-00000000")) == (
            errors.OutcomeUnknown,
            "delete-ClientNetworkError",
        )
        assert account.calls("CreateKeyPair") == 1
        assert (elsewhere.connections, elsewhere.requests) == (0, 0)


def test_a_netrc_file_is_ignored(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\ndefault login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    name = fresh_name()
    account.cvm().create_key_pair(name, 0, TAGS)
    assert account.names() == [name]


def test_the_proxy_in_the_environment_is_used(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads HTTP_PROXY and HTTPS_PROXY itself. Operators who set them expect that."""
    with scripted(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n") as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        cvm = account.cvm()
        expected = (errors.OutcomeUnknown, "create-ServerNetworkError")
        assert raised_by(lambda: cvm.create_key_pair(fresh_name(), 0, TAGS)) == expected
        assert proxy.first_lines == [f"POST {account.emulator.cvm_endpoint}/ HTTP/1.1"]
    assert account.calls("CreateKeyPair") == 0


LISTING = {"Response": {"TotalCount": 0, "KeyPairSet": [], "RequestId": "r"}}


def test_calls_that_can_be_repeated_share_a_connection() -> None:
    with scripted(http_answer(LISTING)) as server:
        cvm = client(server.url)
        for _ in range(3):
            assert cvm.tagged_key_pairs() == []
        assert (server.connections, server.requests) == (1, 3)


@pytest.mark.parametrize(("idle", "connections"), [(IDLE_SECONDS, 1), (IDLE_SECONDS + 0.1, 2)])
def test_a_connection_that_was_idle_is_not_used(idle: float, connections: int) -> None:
    """SCF may have frozen the instance, and somebody on the way closed the connection."""
    times = Time()
    with scripted(http_answer(LISTING)) as server:
        cvm = client(server.url, times=times)
        cvm.tagged_key_pairs()
        times.paused.append(idle)
        cvm.tagged_key_pairs()
        assert (server.connections, server.requests) == (connections, 2)


def test_a_call_that_must_not_be_repeated_opens_a_connection() -> None:
    with scripted(http_answer(LISTING)) as server:
        cvm = client(server.url)
        for number in (1, 2):
            cvm.tagged_key_pairs()
            with pytest.raises(errors.OutcomeUnknown):
                cvm.create_key_pair(fresh_name(), 0, TAGS)
            cvm.delete_key_pair("skey-1")
            cvm.tagged_key_pairs()
            assert server.connections == 1 + 2 * number


def test_after_an_unreadable_answer_nothing_more_is_sent_over_its_connection() -> None:
    with scripted(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nmaybe" + HOLD, http_answer(LISTING)
    ) as server:
        cvm = client(server.url)
        with pytest.raises(errors.OutcomeUnknown):
            cvm.tagged_key_pairs()
        assert cvm.tagged_key_pairs() == []
        assert (server.connections, server.requests) == (2, 2)


# Credentials.


def test_a_temporary_credential() -> None:
    with running_emulator(token="a token") as emulator:
        own = credentials_of(emulator)
        name = fresh_name()
        client(emulator.cvm_endpoint, own).create_key_pair(name, 0, TAGS)
        assert [pair["KeyName"] for pair in emulator.key_pairs()] == [name]
        refused = (errors.CloudRefused, "cloud-AuthFailure")
        for wrong in (
            Credentials(own.secret_id, own.secret_key),
            Credentials(own.secret_id, own.secret_key, "another token"),
            Credentials(own.secret_id, "another key", own.token),
            Credentials("AKIDsomebody", own.secret_key, own.token),
        ):
            cvm = client(emulator.cvm_endpoint, wrong)
            assert raised_by(lambda cvm=cvm: cvm.create_key_pair(fresh_name(), 0, TAGS)) == refused  # type: ignore[misc]  # bound now
            assert raised_by(cvm.tagged_key_pairs) == (errors.OutcomeUnknown, "describe-AuthFailure")


# DescribeKeyPairs and DeleteKeyPairs.

NO_ANSWER: list[tuple[dict[str, object], str]] = [
    ({"kind": "cut"}, "ClientNetworkError"),
    ({"kind": "cut", "after": "before"}, "ClientNetworkError"),
    ({"kind": "http-status", "status": 500}, "ServerNetworkError"),
    ({"kind": "truncate"}, "ClientReadError"),
    ({"kind": "truncate", "honest": False}, "ClientNetworkError"),
    ({"kind": "undecodable"}, "ClientReadError"),
    ({"kind": "error", "code": "InternalServerError"}, "InternalServerError"),
    ({"kind": "error", "code": "UnauthorizedOperation.PermissionDenied"}, "UnauthorizedOperation"),
    ({"kind": "error", "code": "InvalidFilter"}, "InvalidFilter"),
    ({"kind": "error", "code": "InvalidKeyPairId.Malformed"}, "InvalidKeyPairId"),
    ({"kind": "error", "code": "InvalidParameterValue.LimitExceeded"}, "InvalidParameterValue"),
]


@pytest.mark.parametrize(("fault", "reason"), NO_ANSWER, ids=str)
def test_a_describe_or_delete_without_response(
    account: Account, fault: dict[str, object], reason: str
) -> None:
    cvm = account.cvm()
    created = cvm.create_key_pair(fresh_name(), 0, TAGS)
    for action in ("DescribeKeyPairs", "DeleteKeyPairs"):
        account.emulator.add_faults({**fault, "action": action})
    assert raised_by(cvm.tagged_key_pairs) == (errors.OutcomeUnknown, f"describe-{reason}")
    expected = (errors.OutcomeUnknown, f"delete-{reason}")
    assert raised_by(lambda: cvm.delete_key_pair(created.key_id)) == expected
    assert (account.calls("DescribeKeyPairs"), account.calls("DeleteKeyPairs")) == (1, 1)


def test_throttled_describes_and_deletes_are_repeated(account: Account) -> None:
    times = Time()
    cvm = account.cvm(times=times)
    created = cvm.create_key_pair(fresh_name(), 0, TAGS)
    for action in ("DescribeKeyPairs", "DeleteKeyPairs"):
        account.emulator.add_faults({"action": action, "kind": "throttle", "times": 2})
    assert len(cvm.tagged_key_pairs()) == 1
    assert cvm.delete_key_pair(created.key_id)
    assert times.paused == pytest.approx([0.2, 0.4, 0.2, 0.4])
    account.emulator.add_faults({"action": "DescribeKeyPairs", "kind": "throttle", "times": 50})
    assert raised_by(account.cvm(seconds=4, times=Time()).tagged_key_pairs) == (
        errors.OutcomeUnknown,
        "describe-RequestLimitExceeded",
    )


# ModifyKeyPairAttribute, https://cloud.tencent.com/document/api/213/15696

UNREACHABLE = errors.CloudUnreachable
NO_DESCRIPTION: list[tuple[dict[str, object], type[errors.KeyPairFunctionError], str, bool]] = [
    ({"kind": "cut"}, UNREACHABLE, "modify-ClientNetworkError", True),
    ({"kind": "cut", "after": "before"}, UNREACHABLE, "modify-ClientNetworkError", False),
    ({"kind": "truncate"}, UNREACHABLE, "modify-ClientReadError", True),
    ({"kind": "undecodable"}, UNREACHABLE, "modify-ClientReadError", True),
    ({"kind": "http-status", "status": 502}, UNREACHABLE, "modify-ServerNetworkError", True),
    ({"kind": "error", "code": "InternalServerError"}, UNREACHABLE, "modify-InternalServerError", False),
    ({"kind": "error", "code": "InvalidKeyPairId.NotFound"}, UNREACHABLE, "modify-InvalidKeyPairId", False),
    ({"kind": "error", "code": "a b"}, UNREACHABLE, "modify-unreadable", False),
    ({"kind": "throttle", "times": 50}, errors.CloudBusy, "modify-RequestLimitExceeded", False),
    ({"kind": "error", "code": "AuthFailure.TokenFailure"}, REFUSED, "modify-AuthFailure", False),
    (
        {"kind": "error", "code": "UnauthorizedOperation.PermissionDenied"},
        REFUSED,
        "modify-UnauthorizedOperation",
        False,
    ),
    ({"kind": "error", "code": "InvalidParameterValue"}, REFUSED, "modify-InvalidParameterValue", False),
]


@pytest.mark.parametrize(("fault", "error", "reason", "described"), NO_DESCRIPTION, ids=str)
def test_a_description_that_may_not_be_set(
    account: Account,
    fault: dict[str, object],
    error: type[errors.KeyPairFunctionError],
    reason: str,
    *,
    described: bool,
) -> None:
    created = account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    account.emulator.add_faults({"times": 50, **fault, "action": "ModifyKeyPairAttribute"})
    cvm = account.cvm(seconds=UNDO_RESERVE + 3, times=Time())
    assert raised_by(lambda: cvm.set_description(created.key_id, "issued")) == (error, reason)
    (pair,) = account.emulator.key_pairs()
    assert pair["Description"] == ("issued" if described else "")
    # Throttled: pauses of 0.2, 0.4 and 0.8; the next 1.6 would be too long.
    assert account.calls("ModifyKeyPairAttribute") == (1 if error is REFUSED else 4)


@pytest.mark.parametrize(
    "fault", [fault for fault, error, *_ in NO_DESCRIPTION if error is not REFUSED], ids=str
)
def test_a_description_is_set_until_it_is_there(account: Account, fault: dict[str, object]) -> None:
    created = account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    account.emulator.add_faults({**fault, "times": 2, "action": "ModifyKeyPairAttribute"})
    account.cvm(times=Time()).set_description(created.key_id, "issued")
    assert [pair["Description"] for pair in account.emulator.key_pairs()] == ["issued"]
    assert account.calls("ModifyKeyPairAttribute") == 3


def test_a_throttled_description_is_set_again(account: Account) -> None:
    times = Time()
    cvm = account.cvm(times=times)
    created = cvm.create_key_pair(fresh_name(), 0, TAGS)
    account.emulator.add_faults({"action": "ModifyKeyPairAttribute", "kind": "throttle", "times": 2})
    cvm.set_description(created.key_id, "issued")
    assert times.paused == pytest.approx([0.2, 0.4])
    assert account.emulator.key_pairs()[0]["Description"] == "issued"


def test_a_description_leaves_time_to_remove_the_key_pair(account: Account) -> None:
    created = account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    account.emulator.add_faults({"action": "ModifyKeyPairAttribute", "kind": "delay", "seconds": 4})
    cvm = account.cvm(seconds=UNDO_RESERVE + SHORT)
    expected = (UNREACHABLE, "modify-ClientNetworkError")
    assert raised_by(lambda: cvm.set_description(created.key_id, "issued")) == expected


def test_a_key_pair_in_use_is_not_deleted(account: Account) -> None:
    created = account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    account.emulator.control("POST", f"/key-pairs/{created.key_id}/bind")
    assert not account.cvm().delete_key_pair(created.key_id)
    assert len(account.names()) == 1


def test_a_malformed_id_is_an_error(account: Account) -> None:
    expected = (errors.OutcomeUnknown, "delete-InvalidKeyPairId")
    assert raised_by(lambda: account.cvm().delete_key_pair("skey-")) == expected


# Responses that the emulator does not send.


@dataclass
class Scripted:
    """A server that sends fixed responses in order, and then repeats the last one."""

    url: str
    connections: int = 0
    requests: int = 0
    first_lines: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


HOLD = b"<and then nothing>"


def hang_up(connections: list[socket.socket]) -> None:
    for connection in connections:
        with suppress(OSError):  # closed by now
            connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def scripted(*answers: bytes, first: float = 0, each: float = 0) -> Iterator[Scripted]:
    """Serve; an answer that ends with HOLD stops there and keeps the connection.

    `first` is the pause before an answer, `each` that after each of its bytes, in seconds.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    server = Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}")
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                server.first_lines.append(line.decode().strip())
                server.bodies.append(stream.read(int(parse_headers(stream)["Content-Length"])))
                answer = answers[min(server.requests, len(answers) - 1)]
                server.requests += 1
                done.wait(first)
                if each:
                    for position in range(len(answer)):
                        connection.sendall(answer[position : position + 1])
                        done.wait(each)
                else:
                    connection.sendall(answer.removesuffix(HOLD))
                if answer.endswith(HOLD):
                    done.wait(10)

    def accept() -> None:
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            connections.append(connection)
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    threads, connections = [threading.Thread(target=accept)], list[socket.socket]()
    threads[0].start()
    try:
        yield server
    finally:
        done.set()
        hang_up(connections)
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()


def http_answer(content: object, content_type: str = "application/json", **headers: str) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body


PAIR = {"KeyId": "skey-00000001", "KeyName": "n"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "create-ClientDecodeError"),
        ({}, "create-ClientDecodeError"),
        ({"Response": []}, "create-ClientDecodeError"),
        ({"Response": None}, "create-ClientDecodeError"),
        ({"Response": {"Error": {}}}, "create-ClientDecodeError"),
        ({"Response": {"Error": "text"}}, "create-ClientDecodeError"),
        ({"Response": {}}, "create-undecodable"),
        ({"Response": {"KeyPair": None}}, "create-undecodable"),
        ({"Response": {"KeyPair": []}}, "create-undecodable"),
        ({"Response": {"KeyPair": {}}}, "create-undecodable"),
        ({"Response": {"KeyPair": {"KeyId": 1}}}, "create-undecodable"),
        *(
            ({"Response": {"KeyPair": {**PAIR, "KeyId": key_id}}}, "create-undecodable")
            for key_id in (
                "",
                "skey-",
                "skey-A",
                "skey-a\n",
                "xskey-a",
                "skey-a b",
                "skey-é",
                "skey-" + "a" * 33,
            )
        ),
        (b"", "create-ClientDecodeError"),
        (b"[" * 100_000, "create-ClientDecodeError"),
    ],
    ids=repr,
)
def test_a_create_response_of_another_shape(content: object, reason: str) -> None:
    # Not the type by which the SDK would look into it: what is shown is this function's own reading.
    with scripted(http_answer(content, "application/json; charset=utf-8")) as server:
        cvm = client(server.url)
        expected = (errors.OutcomeUnknown, reason)
        assert raised_by(lambda: cvm.create_key_pair("n", 0, TAGS)) == expected
        assert server.requests == 1


@pytest.mark.parametrize("content", [{}, {"KeyId": "skey-A"}, {"KeyId": None}])
def test_an_import_response_of_another_shape(content: object) -> None:
    with scripted(http_answer({"Response": content})) as server:
        cvm = client(server.url)
        expected = (errors.OutcomeUnknown, "import-undecodable")
        assert raised_by(lambda: cvm.import_key_pair("n", 0, TAGS, "ssh-rsa AAAA")) == expected


@pytest.mark.parametrize("key_id", ["skey-0", "skey-" + "z9" * 16])
def test_ids_of_other_lengths_are_accepted(key_id: str) -> None:
    with scripted(http_answer({"Response": {"KeyPair": {**PAIR, "KeyId": key_id}}})) as server:
        assert client(server.url).create_key_pair("n", 0, TAGS).key_id == key_id


@pytest.mark.parametrize(
    ("request_id", "kept"),
    [
        ("3c140219-cfe9-470e-b241-907877d6fb03", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("", False),
        ("a\n", False),
        ('","decision":"issued', False),
        ("é", False),
        (7, False),
        (None, False),
        (["a"], False),
    ],
    ids=repr,
)
def test_a_request_id_that_does_not_look_like_one_is_dropped(request_id: object, *, kept: bool) -> None:
    expected = request_id if kept else ""
    with scripted(http_answer({"Response": {"KeyPair": PAIR, "RequestId": request_id}})) as server:
        assert client(server.url).create_key_pair("n", 0, TAGS).request_id == expected
    # And in an error, whether the SDK reads it or this function.
    failed = {"Response": {"Error": {"Code": "InternalError", "Message": "m"}, "RequestId": request_id}}
    for content_type in ("application/json", "application/json; charset=utf-8"):
        with scripted(http_answer(failed, content_type)) as server:
            cvm = client(server.url)
            with pytest.raises(errors.OutcomeUnknown) as raised:
                cvm.create_key_pair("n", 0, TAGS)
        assert raised.value.upstream is not None
        assert raised.value.upstream.request_id == (expected or "")


def test_missing_fields_are_empty_and_new_fields_ignored() -> None:
    with scripted(http_answer({"Response": {"KeyPair": {**PAIR, "New": 1}, "New": 2}})) as server:
        created = client(server.url).create_key_pair("n", 0, TAGS)
    assert (created.key_id, created.key_name, created.public_key) == ("skey-00000001", "n", "")
    assert (created.private_key.get_secret_value(), created.request_id) == (b"", "")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"TotalCount": 1},
        {"TotalCount": "many", "KeyPairSet": []},
        {"TotalCount": 1, "KeyPairSet": [{}]},
        {"TotalCount": 1, "KeyPairSet": [{**PAIR, "Tags": [{"Key": "k"}]}]},
        {"TotalCount": 1, "KeyPairSet": None},
    ],
    ids=repr,
)
def test_a_listing_of_another_shape(content: object) -> None:
    with scripted(http_answer({"Response": content})) as server:
        expected = (errors.OutcomeUnknown, "describe-undecodable")
        assert raised_by(client(server.url).tagged_key_pairs) == expected


def test_a_listing_without_tags_and_time() -> None:
    pairs = [
        {**PAIR, "Tags": None},
        {**PAIR, "Tags": [], "CreatedTime": None, "Description": None, "AssociatedInstanceIds": None},
    ]
    with scripted(http_answer({"Response": {"TotalCount": 2, "KeyPairSet": pairs}})) as server:
        found = client(server.url).tagged_key_pairs()
    assert [(one.tags, one.created_at, one.description) for one in found] == [({}, "", None)] * 2


def test_all_pages_are_read() -> None:
    def page(*ids: int, total: int = 250) -> bytes:
        pairs = [{"KeyId": f"skey-{number:08}", "KeyName": "n"} for number in ids]
        return http_answer({"Response": {"TotalCount": total, "KeyPairSet": pairs}})

    with scripted(page(*range(100)), page(*range(100, 200)), page(*range(200, 250))) as server:
        found = client(server.url).find_key_pairs("n")
        asked = [json.loads(body) for body in server.bodies]
    assert [one.key_id for one in found] == [f"skey-{number:08}" for number in range(250)]
    filters = [{"Name": "key-name", "Values": ["n"]}]
    assert asked == [{"Filters": filters, "Offset": offset, "Limit": 100} for offset in (0, 100, 200)]
    # A total that is too high does not cause an endless loop.
    with scripted(page(1, 2), page()) as server:
        assert len(client(server.url).find_key_pairs("n")) == 2
        assert server.requests == 2


def test_a_response_of_more_than_a_mebibyte_is_not_read_completely() -> None:
    for answer in (
        http_answer({"Response": {"KeyPair": PAIR, "Padding": "x" * (1024 * 1024)}}),
        http_answer(gzip.compress(b"[" * 50_000_000), Content_Encoding="gzip"),
    ):
        with scripted(answer) as server:
            expected = (errors.OutcomeUnknown, "create-ClientNetworkError")
            cvm = client(server.url)
            assert raised_by(lambda cvm=cvm: cvm.create_key_pair("n", 0, TAGS)) == expected  # type: ignore[misc]  # bound now


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}])
def test_a_compressed_response_is_read(headers: dict[str, str]) -> None:
    body = gzip.compress(json.dumps({"Response": {"KeyPair": PAIR}}).encode())
    with scripted(http_answer(body, Content_Encoding="gzip", **headers)) as server:
        assert client(server.url).create_key_pair("n", 0, TAGS).key_id == "skey-00000001"


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}])
@pytest.mark.parametrize("speed", [{}, {"each": 0.05}], ids=str)
def test_an_endless_response_ends_when_time_is_up(headers: dict[str, str], speed: dict[str, float]) -> None:
    answer = http_answer({"Response": {"KeyPair": PAIR}}, **headers)
    with scripted(answer if speed else answer[:-10] + HOLD, **speed) as server:
        cvm = client(server.url, seconds=UNDO_RESERVE + SHORT)
        expected = (errors.OutcomeUnknown, "create-ClientNetworkError")
        assert raised_by(lambda: cvm.create_key_pair("n", 0, TAGS)) == expected


@pytest.mark.parametrize("slow", ["connections", "requests"])
def test_what_is_there_after_the_deadline_is_not_read(slow: str) -> None:
    """Connecting and waiting count too, and a peer that sends without a pause gets no more time."""
    with scripted(http_answer({"Response": {"KeyPair": PAIR, "more": "x" * 100_000}})) as server:
        clock = Clock(monotonic=lambda: 1000.0 if getattr(server, slow) else 0.0)
        deadline = Deadline(clock, UNDO_RESERVE + SHORT)
        cvm = Cvm(CREDENTIALS, REGION, deadline, jitter=lambda: 1.0, endpoint=server.url)
        expected = (errors.OutcomeUnknown, "create-ClientNetworkError")
        assert raised_by(lambda: cvm.create_key_pair("n", 0, TAGS)) == expected


# Logging.


@pytest.fixture
def root_log() -> Iterator[StringIO]:
    """Log everything, as the bootstrap of SCF does, and restore the loggers afterwards."""
    text = StringIO()
    handler = logging.StreamHandler(text)
    loggers = [logging.getLogger(name) for name in (None, "tencentcloud_sdk_common", "urllib3")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.propagate = True
    loggers[0].addHandler(handler)
    yield text
    loggers[0].removeHandler(handler)
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.mark.parametrize("fault", [None, {"kind": "cut"}, {"kind": "truncate"}, {"kind": "undecodable"}])
def test_the_sdk_does_not_log_keys(
    account: Account, root_log: StringIO, fault: dict[str, object] | None
) -> None:
    account.emulator.add_faults(*([] if fault is None else [fault]))
    try:
        account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    except errors.OutcomeUnknown:
        assert fault is not None
    assert root_log.getvalue() == ""


def test_warnings_of_the_sdk_do_not_reach_the_log(account: Account, root_log: StringIO) -> None:
    account.cvm().create_key_pair(fresh_name(), 0, TAGS)
    for name in ("tencentcloud_sdk_common", "urllib3", "urllib3.connectionpool"):
        logging.getLogger(name).warning("with whatever an exception quotes")
    assert root_log.getvalue() == ""


def test_the_sdk_alone_would_log_keys(account: Account, root_log: StringIO) -> None:
    """Otherwise the test above would prove nothing."""
    http = HttpProfile(protocol="http", endpoint=account.emulator.cvm_endpoint.removeprefix("http://"))
    credential = Credential(account.emulator.secret_id, account.emulator.secret_key)
    sdk: Any = CommonClient("cvm", "2017-03-12", credential, REGION, ClientProfile(httpProfile=http))
    sdk.call_json("CreateKeyPair", {"KeyName": fresh_name(), "ProjectId": 0})
    assert "PRIVATE KEY" in root_log.getvalue()
