"""Values computed from the master secret never change: callers, key pairs and links depend on them."""

from __future__ import annotations

import pytest

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.auth.time_window import SIGNATURE_WINDOW, TimeWindow
from handler.pickup.links import PickupLinks
from handler.store.memory import MemoryStore
from tests.support.function_under_test import MASTER, NOON, OTHER_MASTER, TestClock
from tests.support.pickup import ISSUED

SECRETS = MasterSecrets([bytes(range(32))])


@pytest.mark.parametrize(
    ("purpose", "text", "secret"),
    [
        (Purpose.TC3_SECRET, "demo", "nuqHJDxlorgZ9Z9neYbZo1jD73A5nDrOJghXMPDsL8Y"),
        (Purpose.V2_SECRET, "demo", "Q_L_TGMwNsh1BEzmsGRHJEQ-ssuBDDOE1VIwxmTYGUk"),
        (Purpose.PICKUP_LINK, "message 1", "vfslfCe7IQSi7dwG2M6o7NJ3DNUR5K4l6Gs26M6ZEvw"),
    ],
)
def test_derived_secrets_are_fixed(purpose: Purpose, text: str, secret: str) -> None:
    assert SECRETS.derive(purpose, text) == [secret]


@pytest.mark.parametrize(
    ("expires", "code"),
    [
        ("2026-11-24T12:00:00Z", "a312d90a89d235387f8d7fa481b136f9"),
        (None, "f9403ef886d40be7e7a8e4268bbd5024"),
    ],
)
def test_former_ownership_tags_are_fixed(expires: str | None, code: str) -> None:
    text = "\n".join(["c" * 32, "d" * 32, "a" * 32, "build_1", expires or ""])
    assert SECRETS.sign(Purpose.FORMER_OWNERSHIP_TAG, text, 32) == code


def test_job_codes_are_fixed() -> None:
    code = "cddd0ef38121189b3ae5d71f119baa8e0e3d8f9b8178ef4cff3d06bd205fd40f"
    assert SECRETS.sign(Purpose.JOB, '1795521600\n2\n{"text":"密钥"}') == code


def test_pickup_links_are_fixed() -> None:
    clock = TestClock().clock()
    links = PickupLinks(MemoryStore(clock), clock, "https://keys.example", SECRETS)
    path = "/pickup/vfslfCe7IQSi7dwG2M6o7NJ3DNUR5K4l6Gs26M6ZEvw"
    assert links.create("alice", ISSUED, "message 1") == "https://keys.example" + path


def test_a_code_is_good_for_its_own_purpose_only() -> None:
    code = SECRETS.sign(Purpose.JOB, "text")
    matching = [purpose for purpose in Purpose if SECRETS.matches(purpose, "text", code)]
    assert matching == [Purpose.JOB]


def test_codes_are_accepted_under_the_previous_secret_too() -> None:
    before, rotated = MasterSecrets([OTHER_MASTER]), MasterSecrets([MASTER, OTHER_MASTER])
    code = before.sign(Purpose.JOB, "text")
    assert rotated.matches(Purpose.JOB, "text", code)
    assert rotated.sign(Purpose.JOB, "text") == MasterSecrets([MASTER]).sign(Purpose.JOB, "text") != code
    assert not MasterSecrets([MASTER]).matches(Purpose.JOB, "text", code)


@pytest.mark.parametrize("code", ["", "0", "ß" * 64, "\ud800"])
def test_other_text_matches_nothing(code: str) -> None:
    assert not SECRETS.matches(Purpose.JOB, "text", code)


def test_a_short_code_matches_only_at_its_own_length() -> None:
    code = SECRETS.sign(Purpose.FORMER_OWNERSHIP_TAG, "text", 32)
    assert SECRETS.matches(Purpose.FORMER_OWNERSHIP_TAG, "text", code, 32)
    assert not SECRETS.matches(Purpose.FORMER_OWNERSHIP_TAG, "text", code)
    assert not SECRETS.matches(Purpose.FORMER_OWNERSHIP_TAG, "text", code[:31], 32)


def test_secrets_stay_out_of_a_repr() -> None:
    assert repr(SECRETS) == "MasterSecrets()"


@pytest.mark.parametrize(
    ("timestamp", "accepted"),
    [(NOON - 301, False), (NOON - 300, True), (NOON, True), (NOON + 60, True), (NOON + 61, False)],
)
def test_a_time_window(timestamp: float, accepted: bool) -> None:  # noqa: FBT001  # a column
    assert TimeWindow(past=300, future=60).contains(timestamp, NOON) == accepted


def test_a_nonce_is_remembered_for_the_whole_window() -> None:
    assert TimeWindow(past=300, future=60).nonce_ttl == 361
    assert SIGNATURE_WINDOW.nonce_ttl == 601
