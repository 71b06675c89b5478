"""A policy with an index is the same policy, and only an index of exactly this policy is used."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import PolicyInvalid
from handler.policy.checking import RULES
from handler.policy.compiled import MAGIC, CompiledPolicy, file_digest, index_of
from handler.policy.grants import Grant
from handler.policy.model import Caller, ChatBinding, Policy, TokenBinding, TokenIssuer, Web
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
EVERY_KEY: dict[str, Any] = {
    "escrow": ["age1escrow", {"kty": "OKP", "x": "…"}],
    "failed_rate": "7/minute",
    "issuers": {
        "ci": {"issuer": "a", "audience": "x", **ISSUER, "once": True},
        "own": {"issuer": "b", "audience": "x", "algorithms": ["EdDSA"], "jwks": {"keys": [{"kty": "OKP"}]}},
    },
    "web": {"issuer": "ci", "client_id": "page", "origins": ["https://intranet.example"]},
    "keys_from": {"github": "https://github.com/{user}.keys"},
    "callers": {
        "all": {
            "tc3": True,
            "v2": ["HmacSHA256", "HmacSHA1"],
            "jwt": [{"issuer": "ci", "claims": {"sub": "1", "admin": True, "level": 1}}],
            "chat": [{"platform": "slack", "tenant": "T", "user": "U"}],
            "operator": True,
            "generation": 2,
            "rate": "1/hour",
            "recipients": ["age1own", {"kty": "OKP", "x": "…"}],
            "grants": [
                {
                    "names": ["ci_*", "{caller}_?"],
                    # JSON Schema calls 3.0 an integer, and so do the rules.
                    "projects": [0, 3.0],
                    "regions": ["ap-guangzhou", "ap-shanghai"],
                    "forced_tags": {"env": "staging"},
                    "required_tags": {"team": "*"},
                    "optional_tags": {"note": "a?"},
                    "longest_expiry": "12h",
                    "own_recipients": True,
                    "actions": ["create", "list", "delete", "import"],
                    "callers": ["*"],
                },
                GRANT,
            ],
        },
    },
}


def packed_in(folder: Path, content: dict[str, Any]) -> Path:
    file = folder / "policy.json"
    packed, index = pack(Policy.parse(content))
    file.write_bytes(packed)
    index_of(file).write_bytes(index)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return packed_in(tmp_path, CONTENT)


def test_every_key_is_read_as_the_rules_read_it(tmp_path: Path) -> None:
    """Nothing is checked when a packed policy is read, and the result is the same."""
    whole, found = Policy.parse(EVERY_KEY), Policy.load(packed_in(tmp_path, EVERY_KEY))
    assert isinstance(found, CompiledPolicy)
    caller, grant = EVERY_KEY["callers"]["all"], EVERY_KEY["callers"]["all"]["grants"][0]
    for table, keys in (
        (Policy, set(EVERY_KEY)),
        (Web, set(EVERY_KEY["web"])),
        (TokenIssuer, set().union(*EVERY_KEY["issuers"].values())),
        (Caller, set(caller)),
        (Grant, set(grant)),
        (TokenBinding, set(caller["jwt"][0])),
        (ChatBinding, set(caller["chat"][0])),
    ):
        assert {field.name for field in fields(table)} == keys, table
    for field in fields(Policy):
        read = getattr(found, field.name)
        # The callers are a view of the file.
        assert repr(dict(read) if field.name == "callers" else read) == repr(getattr(whole, field.name))


def test_names_of_claims_that_no_token_can_have_stay_apart(tmp_path: Path) -> None:
    """Lone surrogates: as replacement characters, two conditions would become one."""
    claims = json.loads(r'{"\ud800": 1, "\udfff": 2}')
    robot = {"jwt": [{"issuer": "ci", "claims": claims}], "grants": [GRANT]}
    content = {"callers": {"robot": robot}, "issuers": {"ci": CONTENT["issuers"]["ci"]}}
    file = packed_in(tmp_path, content)
    assert Policy.load(file).callers["robot"].jwt[0].claims == claims
    index_of(file).unlink()
    with pytest.raises(PolicyInvalid):
        Policy.load(file)


def test_the_number_of_the_index_stands_for_the_rules() -> None:
    """Raise it with the rules, and write their digest here: only what these rules have checked is trusted.

    The digest is of what pydantic goes by, and of the source of our validators, but not of what they call. It
    changes with a new pydantic, too.
    """

    def rules(schema: Any) -> Any:  # noqa: ANN401  # pydantic's form of them
        if isinstance(schema, dict):
            return {str(key): rules(value) for key, value in schema.items() if key != "metadata"}
        if isinstance(schema, (list, tuple)):
            return [rules(one) for one in schema]
        if inspect.isfunction(schema) and schema.__module__.startswith("handler."):
            return inspect.getsource(schema)
        # A reference ends with the address of a class.
        return (
            re.sub(r":\d{6,}", "", schema)
            if isinstance(schema, str)
            else getattr(schema, "__qualname__", schema)
        )

    text = re.sub(r" at 0x[0-9a-f]+", "", json.dumps(rules(RULES.core_schema), default=str))
    assert all(name in text for name in ("_with_one_user", "_public_keys_only", "_issuers_exist", "strict"))
    assert (MAGIC, hashlib.sha256(text.encode()).hexdigest()) == (
        b"keypair-function policy index 2\n",
        "d777da0938fd6b88d43e734e9d58e33725cb96203f661cbbb111b65fb19c9666",
    )


def test_it_is_the_same_policy(file: Path) -> None:
    whole, found = Policy.parse(CONTENT), Policy.load(file)
    assert isinstance(found, CompiledPolicy)
    assert Policy.parse(json.loads(file.read_bytes())) == whole
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


def no_index(file: Path) -> None:
    index_of(file).unlink()


@pytest.mark.parametrize("change", [other_policy, damaged_index, short_index, no_index])
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


def test_an_index_by_other_rules(file: Path) -> None:
    """The whole policy is checked by the rules of the version that reads it."""
    packed = file.read_bytes().replace(b'"rate": "1/hour"', b'"rate": "1/year"')
    digest = file_digest(file)
    file.write_bytes(packed)
    index = index_of(file).read_bytes()[:-32].replace(digest.encode(), file_digest(file).encode())
    index_of(file).write_bytes(signed(index.replace(MAGIC, b"keypair-function policy index 0\n")))
    with pytest.raises(PolicyInvalid, match=r"^callers\.talker\.rate: malformed; write how many"):
        Policy.load(file)
