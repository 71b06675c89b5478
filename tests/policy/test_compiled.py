"""A policy with an index is the same policy, and only an index of exactly this policy is used."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import PolicyInvalid
from handler.policy.compiled import MAGIC, CompiledPolicy, file_digest, index_of
from handler.policy.model import Policy
from scripts.policy_file import pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GRANT = {"names": ["*"], "regions": ["ap-guangzhou"], "own_recipients": True}
ISSUER = {"algorithms": ["RS256"], "jwks_url": "https://issuer.example/keys"}
CONTENT: dict[str, Any] = {
    "failed_rate": "7/minute",
    "callers": {
        "plain": {"tc3": True, "grants": [GRANT]},
        "second-generation": {
            "tc3": True,
            "generation": 2,
            "grants": [{**GRANT, "regions": ["ap-shanghai"]}],
        },
        "legacy": {"v2": ["HmacSHA256"], "grants": [GRANT]},
        "legacy-too": {"v2": ["HmacSHA1"], "grants": [GRANT]},
        "robot": {
            "jwt": [
                {"issuer": "ci", "claims": {"sub": "1", "ref": "main"}},
                {"issuer": "ci", "claims": {"ref": "main", "sub": "1"}},
                {"issuer": "ci", "claims": {"admin": True}},
            ],
            "grants": [{**GRANT, "optional_tags": {"团队": "*"}}],
        },
        "robot-too": {"jwt": [{"issuer": "ci", "claims": {"admin": True}}], "grants": [GRANT]},
        "one": {"jwt": [{"issuer": "other", "claims": {"admin": 1}}], "grants": [GRANT]},
        "talker": {
            "chat": [{"platform": "slack", "tenant": "T", "user": "U"}],
            "rate": "1/hour",
            "grants": [GRANT],
        },
    },
    "issuers": {
        "ci": {"issuer": "a", "audience": "x", **ISSUER},
        "other": {"issuer": "b", "audience": "x", **ISSUER},
    },
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "policy.json"
    packed, index = pack(CONTENT)
    file.write_bytes(packed)
    index_of(file).write_bytes(index)
    return file


def test_it_is_the_same_policy(file: Path) -> None:
    whole, found = Policy.parse(CONTENT), Policy.load(file)
    assert isinstance(found, CompiledPolicy)
    assert file.read_bytes() == json.dumps(CONTENT).encode()
    assert dict(found.callers) == whole.callers
    assert len(found.callers) == len(whole.callers)
    assert (found.failed_rate, found.issuers, found.web) == (whole.failed_rate, whole.issuers, None)
    assert found.regions == whole.regions == {"ap-guangzhou", "ap-shanghai"}
    assert found.chat_platforms == whole.chat_platforms == {"slack"}
    assert found.generations == whole.generations == {"second-generation": 2}
    assert (found.used_once, whole.used_once) == (
        ["callers.legacy.v2"],
        ["callers.legacy.v2", "callers.legacy-too.v2"],
    )
    assert {issuer: set(names) for issuer, names in found.claim_names.items()} == whole.claim_names
    assert found.callers.get("nobody") is None
    assert found.callers.get("") is None


@pytest.mark.parametrize(
    ("user", "caller"),
    [
        (("slack", "T", "U"), "talker"),
        (("slack", "U", "T"), None),
        (("slack", "T", "other"), None),
        (("slack", "other", "U"), None),
        (("feishu", "T", "U"), None),
    ],
)
def test_chat_users(file: Path, user: tuple[str, str, str], caller: str | None) -> None:
    assert Policy.load(file).chat_caller(*user) == Policy.parse(CONTENT).chat_caller(*user) == caller


@pytest.mark.parametrize(
    ("issuer", "claims", "expected"),
    [
        ("ci", (("ref", str, "main"), ("sub", str, "1")), {"robot"}),
        ("ci", (("admin", bool, True),), {"robot", "robot-too"}),
        ("ci", (("admin", int, 1),), set()),
        ("other", (("admin", int, 1),), {"one"}),
        ("other", (("admin", float, 1.0),), set()),
        ("other", (("admin", type(None), None),), set()),
        ("nobody", (("admin", bool, True),), set()),
    ],
)
def test_claims(file: Path, issuer: str, claims: Any, expected: set[str]) -> None:  # noqa: ANN401  # claims
    for policy in (Policy.load(file), Policy.parse(CONTENT)):
        assert set(policy.callers_bound(issuer, claims)) == expected


def signed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


def other_policy(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"7/minute"', b'"8/minute"'))


def damaged_index(file: Path) -> None:
    index_of(file).write_bytes(index_of(file).read_bytes().replace(b"ap-shanghai", b"ap-beijing1"))


def short_index(file: Path) -> None:
    index_of(file).write_bytes(index_of(file).read_bytes()[:20])


def index_of_another_form(file: Path) -> None:
    other = index_of(file).read_bytes()[:-32].replace(MAGIC, MAGIC.replace(b"1", b"2"))
    index_of(file).write_bytes(signed(other))


def no_index(file: Path) -> None:
    index_of(file).unlink()


@pytest.mark.parametrize(
    "change", [other_policy, damaged_index, short_index, index_of_another_form, no_index]
)
def test_an_index_that_is_not_this_policys_is_not_used(file: Path, change: Callable[[Path], None]) -> None:
    change(file)
    found = Policy.load(file)
    assert not isinstance(found, CompiledPolicy)
    assert found == Policy.parse(json.loads(file.read_text("utf-8")))


def test_an_index_whose_policy_is_gone(file: Path) -> None:
    file.unlink()
    with pytest.raises(PolicyInvalid, match="not a readable policy"):
        Policy.load(file)


def test_a_policy_that_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid):
        file_digest(tmp_path / "nowhere")


def test_an_index_of_another_version(file: Path) -> None:
    """Its callers and its head are checked by the rules of the version that reads them."""
    packed = file.read_bytes().replace(b'"rate": "1/hour"', b'"rate": "1/year"')
    digest = file_digest(file)
    file.write_bytes(packed)
    index = index_of(file).read_bytes()[:-32].replace(digest.encode(), file_digest(file).encode())
    index_of(file).write_bytes(signed(index))
    with pytest.raises(PolicyInvalid, match=r"callers\.talker: malformed"):
        Policy.load(file).callers.get("talker")
    index_of(file).write_bytes(signed(index.replace(b'"7/minute"', b'"7/century"')))
    with pytest.raises(PolicyInvalid, match="built for another version"):
        Policy.load(file)
