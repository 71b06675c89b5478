"""What the policy grants, and how errors in a policy are explained."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import NotGranted, PolicyInvalid, RecipientRefused, TagsRefused
from handler.order import Action, KeyPairOrder
from handler.policy.evaluation import granted_order, reach
from handler.policy.grants import ExistingKeyPair
from handler.policy.model import Policy
from handler.sealing.recipient_problems import RecipientProblem

if TYPE_CHECKING:
    from pathlib import Path

GRANT: dict[str, Any] = {"names": ["ci_*"], "regions": ["ap-guangzhou"], "own_recipients": True}


def policy(*grants: dict[str, Any], **caller: object) -> Policy:
    return Policy.parse({"callers": {"a": {"tc3": True, "grants": list(grants) or [GRANT], **caller}}})


def order(
    name: str = "ci_1",
    region: str = "ap-guangzhou",
    **more: Any,  # noqa: ANN401  # handed through
) -> KeyPairOrder:
    return KeyPairOrder(name, region, **{"recipients": ("mine",), **more})


def reason(given: Policy, wanted: KeyPairOrder) -> str | None:
    try:
        granted_order(given, "a", wanted)
    except NotGranted as refused:
        return refused.reason
    return None


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("ci_*", ["ci_", "ci_1", "ci_a_b"], ["ci", "CI_1", "xci_1", "i_"]),
        ("*", ["a", "A_9"], []),
        ("*_prod", ["_prod", "a_prod"], ["prod", "a_prods", "a_PROD"]),
        ("a?c", ["abc", "a_c"], ["ac", "abbc", "xabc"]),
        ("exact", ["exact"], ["exac", "exact1", "Exact"]),
        ("a*b*c", ["abc", "axbyc"], ["acb", "abcd"]),
    ],
)
def test_name_patterns(pattern: str, inside: list[str], outside: list[str]) -> None:
    given = policy({**GRANT, "names": ["never", pattern]})
    assert [name for name in inside + outside if reason(given, order(name)) is None] == inside


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("[ab]", ["[ab]"], ["a", "b"]),
        ("[!a]", ["[!a]"], ["b"]),
        ("a.c", ["a.c"], ["abc"]),
        ("a[*", ["a[", "a[b"], ["ab"]),
        ("核*", ["核", "核心"], ["心核"]),
        ("*", ["a", " ", "a\nb"], []),
        ("(a|b)", ["(a|b)"], ["a"]),
    ],
)
def test_value_patterns(pattern: str, inside: list[str], outside: list[str]) -> None:
    for kind in ("required_tags", "optional_tags"):
        given = policy({**GRANT, kind: {"team": pattern}})
        values = [value for value in inside + outside if reason(given, order(tags={"team": value})) is None]
        assert values == inside


@pytest.mark.parametrize(
    ("change", "wanted", "expected"),
    [
        ({}, order("other"), "name"),
        ({}, order(project_id=1), "project"),
        ({"projects": [1234]}, order(), "project"),
        ({}, order(region="ap-shanghai"), "region"),
        ({"required_tags": {"team": "*"}}, order(), "required-tag"),
        ({"required_tags": {"team": "core"}}, order(tags={"team": "edge"}), "required-tag"),
        ({"required_tags": {"team": "core"}, "optional_tags": {"team": "*"}}, order(tags={"team": "edge"}),
        "required-tag"),
        ({}, order(tags={"note": "a"}), "tag"),
        ({"optional_tags": {"note": "b"}}, order(tags={"note": "a"}), "tag"),
        ({"longest_expiry": "12h"}, order(expires_in=12 * 3600 + 1), "expiry"),
    ],
)  # fmt: skip
def test_reasons(change: dict[str, Any], wanted: KeyPairOrder, expected: str) -> None:
    assert reason(policy({**GRANT, **change}), wanted) == f"not-granted-{expected}"


def test_own_recipients_need_a_grant() -> None:
    pinned = policy({**GRANT, "own_recipients": False}, recipients=["registered"])
    assert reason(pinned, order()) == "not-granted-own-recipients"
    assert granted_order(pinned, "a", order(recipients=())).recipients == ("registered",)


def test_an_order_must_meet_every_rule_of_one_grant() -> None:
    """Two grants are never combined. The reason is that of the grant that comes nearest."""
    given = policy(GRANT, {**GRANT, "names": ["web_*"], "regions": ["ap-shanghai"]})
    assert reason(given, order("ci_1")) is None
    assert reason(given, order("web_1", "ap-shanghai")) is None
    assert reason(given, order("ci_1", "ap-shanghai")) == "not-granted-region"
    assert reason(given, order("web_1")) == "not-granted-region"
    assert reason(given, order("other")) == "not-granted-name"
    assert reason(given, order("ci_1", project_id=7)) == "not-granted-project"
    assert given.regions == {"ap-guangzhou", "ap-shanghai"}


def test_grants_of_other_callers_do_not_apply() -> None:
    given = Policy.parse(
        {"callers": {"a": {"grants": [GRANT]}, "b": {"grants": [{**GRANT, "names": ["*"]}]}}}
    )
    assert reason(given, order("web_1")) == "not-granted-name"
    assert granted_order(given, "b", order("web_1")).name == "web_1"


@pytest.mark.parametrize(
    ("registered", "own", "sealed_to"),
    [
        ([], ("mine",), ("mine",)),
        (["theirs"], (), ("theirs",)),
        (["theirs"], ("mine",), ("mine",)),
    ],
)
def test_recipients(registered: list[str], own: tuple[str, ...], sealed_to: tuple[str, ...]) -> None:
    given = policy(GRANT, recipients=registered)
    assert granted_order(given, "a", order(recipients=own)).recipients == sealed_to


def test_caller_in_name_patterns() -> None:
    given = Policy.parse(
        {
            "callers": {
                name: {"grants": [{**GRANT, "names": ["{caller}_*", "x{caller}"]}]} for name in ("a-b.c", "a")
            }
        }
    )
    names = ["a_b_c_", "a_b_c_1", "xa_b_c", "a_b", "a_1", "xa", "a_b_d_1", "caller_1"]

    def granted(caller_id: str, name: str) -> bool:
        try:
            return bool(granted_order(given, caller_id, order(name)))
        except NotGranted:
            return False

    assert [name for name in names if granted("a-b.c", name)] == ["a_b_c_", "a_b_c_1", "xa_b_c"]
    # One id may be a prefix of another: names are not secret, and an existing name cannot be taken over.
    assert [name for name in names if granted("a", name)] == [
        "a_b_c_", "a_b_c_1", "a_b", "a_1", "xa", "a_b_d_1"
    ]  # fmt: skip


def test_forced_tags() -> None:
    given = policy({**GRANT, "forced_tags": {"env": "prod"}, "optional_tags": {"env": "*", "note": "*"}})
    assert granted_order(given, "a", order()).tags == {"env": "prod"}
    assert granted_order(given, "a", order(tags={"note": "x"})).tags == {"env": "prod", "note": "x"}
    assert granted_order(given, "a", order(tags={"env": "prod"})).tags == {"env": "prod"}
    assert reason(given, order(tags={"env": "dev"})) == "not-granted-tag"
    assert granted_order(
        policy({**GRANT, "forced_tags": {"env": "prod"}}), "a", order(tags={"env": "prod"})
    ).tags == {"env": "prod"}


def test_the_tags_of_an_order_and_its_grant_have_a_limit_together() -> None:
    tags = {f"own-{n}": "x" for n in range(16)}
    forced = {f"forced-{n}": "x" for n in range(15)}
    given = policy({**GRANT, "forced_tags": forced, "optional_tags": dict.fromkeys(tags, "*")})
    fewer = {key: value for key, value in tags.items() if key != "own-0"}
    assert len(granted_order(given, "a", order(tags=fewer)).tags) == 30
    with pytest.raises(TagsRefused) as refused:
        granted_order(given, "a", order(tags=tags))
    assert refused.value.reason == "tags-too-many"


def test_escrow_alone_is_not_enough() -> None:
    given = Policy.parse({"escrow": ["spare"], "callers": {"a": {"grants": [GRANT]}}})
    with pytest.raises(RecipientRefused) as refused:
        granted_order(given, "a", order(recipients=()))
    assert refused.value.problem is RecipientProblem.MISSING


@pytest.mark.parametrize(
    ("longest", "wanted", "granted"),
    [(None, None, None), (None, 60, 60), ("12h", None, 43200), ("12h", 60, 60), ("12h", 43200, 43200),
    ("30d", None, 2592000)],
)  # fmt: skip
def test_expiry(longest: str | None, wanted: int | None, granted: int | None) -> None:
    given = policy({**GRANT, "longest_expiry": longest})
    assert granted_order(given, "a", order(expires_in=wanted)).expires_in == granted


# ---------------------------------------------------------------- errors in a policy


def caller(**changes: object) -> dict[str, object]:
    return {"callers": {"a": {"grants": [GRANT], **changes}}}


def grant(**changes: object) -> dict[str, object]:
    return {"callers": {"a": {"recipients": ["x"], "grants": [{**GRANT, **changes}]}}}


def issuer(**changes: object) -> dict[str, object]:
    changed = {name: value for name, value in {**ISSUER, **changes}.items() if value is not None}
    return {**caller(), "issuers": {"i": changed}}


def jwks(**key: object) -> dict[str, object]:
    return issuer(jwks_url=None, jwks={"keys": [key]})


POLICY_FILE = "write a policy with [callers.NAME] tables"
CALLERS = "write a table [callers.NAME] for each caller"
CALLER_ID = "not a valid id or name; use letters, digits, '_', '-' and '.', 64 at most"
ESCROW = 'write a list of recipients, for example ["age1…"], or omit it'
RECIPIENTS = 'write a list of recipients, for example ["ssh-ed25519 AAAA…"]'
TC3 = "write true if the caller signs with TC3-HMAC-SHA256, else false"
GRANTS = "write one or more [[callers.NAME.grants]] tables"
OWN = "write true if a request may name its own recipients, else false"
NAMES = 'write a list of patterns for key names, for example ["ci_*"]'
PROJECTS = "write a list of project numbers, for example [0, 1234]"
REGIONS = 'write a list of regions, for example ["ap-guangzhou"]'
EXPIRY = 'write a duration such as "12h" or "30d", after which key pairs are removed'
REQUIRED = 'write a table of tags and value patterns, for example { team = "*" }'
OPTIONAL = 'write a table of tags and value patterns, for example { note = "*" }'
NO_KEY = "unknown key; write one of"
TOP = "callers, escrow, failed_rate, issuers, web, keys_from"
KEYS = (
    "names, regions, projects, forced_tags, required_tags, optional_tags, longest_expiry, own_recipients, "
    "actions, callers"
)
NOBODY = "no recipients are registered, and a grant has own_recipients = false; change one of the two"
RATE = 'write how many requests are allowed, for example "20/hour" (minute, hour, day)'
FORCED = 'write a table of tags that every key pair gets, for example { env = "staging" }'
V2 = 'write a list of signature methods of the API v2, for example ["HmacSHA256"]'
ALGORITHMS = 'write a list of signature algorithms, for example ["RS256"]'
URL = "write the https:// address of its keys, or omit it and write jwks"
JWKS = "write its public keys as a JWKS (RFC 7517 section 5), or omit it"
CLAIMS = 'write a table of claims and their values, for example { repository_id = "1234" }'
AUDIENCE = "write the aud claim of the tokens that it issues for this function only"
ONE_PLACE = "write either jwks or jwks_url"
NO_ISSUER = "a caller's jwt names an issuer that has no [issuers.NAME] table"
ORIGINS = 'write a list of other origins whose pages may call this function, for example ["https://intranet.example"]'
APART = "{caller} is the same in the key names of two callers; rename one of them"
ISSUER: dict[str, Any] = {
    "issuer": "https://issuer.example",
    "audience": "keypair",
    "algorithms": ["RS256"],
    "jwks_url": "https://issuer.example/jwks",
}
NO_IDS = ["", "a/b", "a,b", "a b", "-a", "ä", "a" * 65]


@pytest.mark.parametrize(
    ("data", "path", "text"),
    [
        (None, "the file", f"malformed; {POLICY_FILE}"),
        ([], "the file", f"malformed; {POLICY_FILE}"),
        ({}, "callers", f"missing; {CALLERS}"),
        ({"callers": []}, "callers", f"malformed; {CALLERS}"),
        ({"callers": {}, "admins": {}}, "admins", f"{NO_KEY} {TOP}"),
        ({"callers": {}, "escrow": "age1"}, "escrow", f"malformed; {ESCROW}"),
        ({"callers": {}, "escrow": [""]}, "escrow.0", f"malformed; {ESCROW}"),
        ({"callers": {}, "escrow": ["x"] * 21}, "escrow", f"malformed; {ESCROW}"),
        *(({"callers": {name: {"grants": [GRANT]}}}, f"callers.{name}", CALLER_ID) for name in NO_IDS),
        ({"callers": {"a": {}}}, "callers.a.grants", f"missing; {GRANTS}"),
        (caller(grants=[]), "callers.a.grants", f"malformed; {GRANTS}"),
        (caller(tc3="yes"), "callers.a.tc3", f"malformed; {TC3}"),
        (caller(tc3=1), "callers.a.tc3", f"malformed; {TC3}"),
        (
            caller(secret="x"),
            "callers.a.secret",
            f"{NO_KEY} grants, tc3, v2, jwt, chat, operator, generation, rate, recipients",
        ),
        (caller(recipients=[1]), "callers.a.recipients.0", f"malformed; {RECIPIENTS}"),
        (caller(grants=[{**GRANT, "own_recipients": False}]), "callers.a", NOBODY),
        (caller(grants=[GRANT, {**GRANT, "own_recipients": False}]), "callers.a", NOBODY),
        (grant(names=[]), "callers.a.grants.0.names", f"malformed; {NAMES}"),
        (grant(names="*"), "callers.a.grants.0.names", f"malformed; {NAMES}"),
        (grant(names=["a-b"]), "callers.a.grants.0.names.0", f"malformed; {NAMES}"),
        (grant(names=["[a]"]), "callers.a.grants.0.names.0", f"malformed; {NAMES}"),
        (grant(projects=[]), "callers.a.grants.0.projects", f"malformed; {PROJECTS}"),
        (grant(projects=["0"]), "callers.a.grants.0.projects.0", f"malformed; {PROJECTS}"),
        (grant(projects=[-1]), "callers.a.grants.0.projects.0", f"malformed; {PROJECTS}"),
        (grant(regions=["*"]), "callers.a.grants.0.regions.0", f"malformed; {REGIONS}"),
        (grant(own_recipients="no"), "callers.a.grants.0.own_recipients", f"malformed; {OWN}"),
        (grant(longest_expiry="12"), "callers.a.grants.0.longest_expiry", f"malformed; {EXPIRY}"),
        (
            grant(required_tags={"qcs:a": "*"}),
            "callers.a.grants.0.required_tags.qcs:a",
            f"malformed; {REQUIRED}",
        ),
        (grant(optional_tags={"a": ""}), "callers.a.grants.0.optional_tags.a", f"malformed; {OPTIONAL}"),
        (grant(rate="20/hour"), "callers.a.grants.0.rate", f"{NO_KEY} {KEYS}"),
        (grant(forced_tags={"env": "*"}), "callers.a.grants.0.forced_tags.env", f"malformed; {FORCED}"),
        (grant(names=["{team}_*"]), "callers.a.grants.0.names.0", f"malformed; {NAMES}"),
        *(
            (caller(rate=rate), "callers.a.rate", f"malformed; {RATE}")
            for rate in ("20", "0/hour", "20/second", "20/hours", "-1/day", 20, "1000000/day", "1/hour ")
        ),
        (caller(v2=["MD5"]), "callers.a.v2.0", f"malformed; {V2}"),
        (
            {
                "callers": {
                    name: {"grants": [{**GRANT, "names": ["x", "{caller}"]}]} for name in ("a.b", "a-b")
                }
            },
            "the file",
            APART,
        ),
        (caller(jwt=[{"issuer": "i", "claims": {"sub": "x"}}]), "the file", NO_ISSUER),
        (caller(jwt=[{"issuer": "i", "claims": {}}]), "callers.a.jwt.0.claims", f"malformed; {CLAIMS}"),
        (
            caller(jwt=[{"issuer": "i", "claims": {"sub": "x"}, "subject": "x"}]),
            "callers.a.jwt.0.subject",
            f"{NO_KEY} issuer, claims",
        ),
        (issuer(audience=None), "issuers.i.audience", f"missing; {AUDIENCE}"),
        (issuer(algorithms=["HS256"]), "issuers.i.algorithms.0", f"malformed; {ALGORITHMS}"),
        (issuer(algorithms=["none"]), "issuers.i.algorithms.0", f"malformed; {ALGORITHMS}"),
        (issuer(algorithms=[]), "issuers.i.algorithms", f"malformed; {ALGORITHMS}"),
        (issuer(jwks_url="http://issuer.example/"), "issuers.i.jwks_url", f"malformed; {URL}"),
        (issuer(jwks_url=None), "issuers.i", ONE_PLACE),
        (issuer(jwks={"keys": [{"kty": "RSA"}]}), "issuers.i", ONE_PLACE),
        (jwks(kty="oct", k="x"), "issuers.i.jwks", f"malformed; {JWKS}"),
        (jwks(kty="RSA", d="x"), "issuers.i.jwks", f"malformed; {JWKS}"),
        (issuer(jwks_url=None, jwks={"keys": []}), "issuers.i.jwks", f"malformed; {JWKS}"),
        (issuer(jwks_url=None, jwks={}), "issuers.i.jwks", f"malformed; {JWKS}"),
        ({**caller(), "issuers": {"a b": ISSUER}}, "issuers.a b", CALLER_ID),
        (
            {**caller(), "issuers": {"i": ISSUER, "j": ISSUER}},
            "the file",
            "two [issuers.NAME] tables have the same issuer and audience; merge them",
        ),
        (issuer(jwks_url="https://issuer.example:65536/"), "issuers.i.jwks_url", f"malformed; {URL}"),
        ({**caller(), "web": {"issuer": "i"}}, "web", "write both issuer and client_id, or neither"),
        (
            {**caller(), "web": {"issuer": "i", "client_id": "x"}},
            "the file",
            "web names an issuer that has no [issuers.NAME] table",
        ),
        ({**caller(), "web": {"origins": ["http://a.example"]}}, "web.origins.0", f"malformed; {ORIGINS}"),
        ({**caller(), "web": {"origins": ["https://a.example/"]}}, "web.origins.0", f"malformed; {ORIGINS}"),
        ({**caller(), "web": {"title": "x"}}, "web.title", f"{NO_KEY} issuer, client_id, origins"),
    ],
)
def test_errors_in_a_policy(data: object, path: str, text: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        Policy.parse(data)
    assert str(refused.value) == f"{path}: {text}"
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "data",
    [
        {"callers": {"a" * 64: {"grants": [GRANT]}}},
        issuer(jwks_url="http://localhost/jwks"),
        issuer(jwks_url="http://127.0.0.1:65535/jwks"),
        {**caller(), "issuers": {"i": ISSUER, "j": {**ISSUER, "issuer": "https://other.example"}}},
        {**caller(), "issuers": {"i": ISSUER, "j": {**ISSUER, "audience": "other"}}},
    ],
)
def test_policies_that_are_just_valid(data: dict[str, dict[str, object]]) -> None:
    parsed = Policy.parse(data)
    assert set(parsed.callers) == set(data.get("callers", {}))
    assert set(parsed.issuers) == set(data.get("issuers", {}))


def test_defaults() -> None:
    given = policy(GRANT)
    assert (given.failed_rate, given.callers["a"].grants[0].projects) == ("60/minute", (0,))


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(PolicyInvalid) as refused:
        Policy.parse({"callers": {"a": {"grants": [{"names": ["a b"], "regions": []}]}}, "x": 1})
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == [
        "callers.a.grants.0.names.0",
        "callers.a.grants.0.regions",
        "x",
    ]


@pytest.mark.parametrize("collecting", [True, False])
def test_loading(tmp_path: Path, *, collecting: bool) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(caller()), encoding="utf-8")
    try:
        gc.enable() if collecting else gc.disable()
        assert Policy.load(file) == policy(GRANT, tc3=False)
        assert gc.isenabled() == collecting
    finally:
        gc.enable()


def test_errors_in_a_packed_policy(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(PolicyInvalid) as refused:
        Policy.load(file)
    assert str(refused.value) == f"callers: missing; {CALLERS}"


@pytest.mark.parametrize("content", [None, b"", b"[callers]", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_not_a_policy(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PolicyInvalid) as refused:
        Policy.load(file)
    assert gc.isenabled()
    assert (
        str(refused.value)
        == f"{file}: not a readable policy in JSON; scripts/build creates one from policy.toml"
    )


# ---------------------------------------------------------------- actions


def reaches(given: Policy, action: Action, pair: ExistingKeyPair, caller: str = "a") -> str | bool:
    try:
        return reach(given, caller, action, pair.region)(pair)
    except NotGranted as refused:
        return refused.reason


MINE = ExistingKeyPair("ci_1", "ap-guangzhou", 0, "a")


def test_a_policy_without_actions_grants_create_and_nothing_else() -> None:
    """A policy file from before there were actions keeps its meaning."""
    given = policy(GRANT)
    assert reason(given, order()) is None
    assert reason(given, order(public_key="ssh-rsa AAAA")) == "not-granted-action"
    for action in (Action.LIST, Action.DELETE):
        assert reaches(given, action, MINE) == "not-granted-action"


def test_each_action_needs_its_own_grant() -> None:
    for granted in Action:
        # Without recipients: only a grant for `create` needs one.
        given = policy({**GRANT, "actions": [granted.value], "own_recipients": granted is Action.CREATE})
        allowed = {
            Action.CREATE: reason(given, order()) is None,
            Action.IMPORT: reason(given, order(public_key="ssh-rsa AAAA", recipients=())) is None,
            Action.LIST: reaches(given, Action.LIST, MINE) is True,
            Action.DELETE: reaches(given, Action.DELETE, MINE) is True,
        }
        assert [action for action, holds in allowed.items() if holds] == [granted]


@pytest.mark.parametrize(
    ("change", "pair", "expected"),
    [
        ({}, MINE, True),
        ({}, replace(MINE, name="web_1"), False),
        ({}, replace(MINE, project_id=7), False),
        ({}, replace(MINE, region="ap-shanghai"), "not-granted-region"),
        ({}, replace(MINE, owner="b"), False),
        ({}, replace(MINE, owner="*"), False),
        ({}, replace(MINE, owner=""), False),
        ({"callers": ["b"]}, replace(MINE, owner="b"), True),
        ({"callers": ["b"]}, replace(MINE, owner="c"), False),
        ({"callers": ["b"]}, MINE, True),
        ({"callers": ["*"]}, replace(MINE, owner="c"), True),
        ({"callers": ["*"]}, replace(MINE, owner="c", name="web_1"), False),
    ],
)
def test_reach(change: dict[str, Any], pair: ExistingKeyPair, expected: object) -> None:
    given = policy({**GRANT, "actions": ["list", "delete"], **change})
    assert {reaches(given, action, pair) for action in (Action.LIST, Action.DELETE)} == {expected}


def test_two_grants_do_not_add_up() -> None:
    """One grant reaches the caller, the other one the name."""
    others = {**GRANT, "actions": ["list"], "callers": ["b"]}
    names = {**GRANT, "actions": ["list"], "names": ["web_*"]}
    given = policy(others, names)
    assert reaches(given, Action.LIST, replace(MINE, owner="b", name="web_1")) is False


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"actions": []}, 'actions: malformed; write a list of "create", "list", "delete" and "import"'),
        ({"actions": ["update"]}, "actions.0: malformed; write a list of"),
        ({"callers": ["a*"]}, "callers.0: malformed; write a list of callers"),
        ({"callers": ["**"]}, "callers.0: malformed; write a list of callers"),
    ],
)
def test_malformed_actions_and_callers(change: dict[str, Any], advice: str) -> None:
    with pytest.raises(PolicyInvalid) as invalid:
        policy({**GRANT, **change})
    assert f"callers.a.grants.0.{advice}" in str(invalid.value)
