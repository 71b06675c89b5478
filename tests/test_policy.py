"""What the policy grants, and what is told of a policy that is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import NotGranted, PolicyInvalid, RecipientProblem, RecipientRefused
from handler.order import KeyPairOrder
from handler.policy import Policy

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
        given.grant("a", wanted)
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


def test_own_recipients_are_a_grant_of_their_own() -> None:
    pinned = policy({**GRANT, "own_recipients": False}, recipients=["registered"])
    assert reason(pinned, order()) == "not-granted-own-recipients"
    assert pinned.grant("a", order(recipients=())).recipients == ("registered",)


def test_one_grant_has_to_hold_whole() -> None:
    """Two grants do not add up to a third one; the first one's reason is told."""
    given = policy(GRANT, {**GRANT, "names": ["web_*"], "regions": ["ap-shanghai"]})
    assert reason(given, order("ci_1")) is None
    assert reason(given, order("web_1", "ap-shanghai")) is None
    assert reason(given, order("ci_1", "ap-shanghai")) == "not-granted-region"
    assert reason(given, order("web_1")) == "not-granted-name"
    assert given.regions == {"ap-guangzhou", "ap-shanghai"}


def test_another_callers_grant_is_no_help() -> None:
    given = Policy.parse(
        {"callers": {"a": {"grants": [GRANT]}, "b": {"grants": [{**GRANT, "names": ["*"]}]}}}
    )
    assert reason(given, order("web_1")) == "not-granted-name"
    assert given.grant("b", order("web_1")).name == "web_1"


@pytest.mark.parametrize(
    ("registered", "own", "escrow", "sealed_to"),
    [
        ([], ("mine",), [], ("mine",)),
        ([], ("mine",), ["spare"], ("mine", "spare")),
        (["theirs"], (), ["spare"], ("theirs", "spare")),
        (["theirs"], ("mine",), ["spare"], ("mine", "spare")),
        (["theirs"], (), ["theirs", "spare"], ("theirs", "spare")),
        (["theirs"], ("spare",), ["spare"], ("spare",)),
    ],
)
def test_recipients(
    registered: list[str], own: tuple[str, ...], escrow: list[str], sealed_to: tuple[str, ...]
) -> None:
    given = Policy.parse({"escrow": escrow, "callers": {"a": {"recipients": registered, "grants": [GRANT]}}})
    assert given.grant("a", order(recipients=own)).recipients == sealed_to


def test_escrow_alone_opens_nothing_for_the_caller() -> None:
    given = Policy.parse({"escrow": ["spare"], "callers": {"a": {"grants": [GRANT]}}})
    with pytest.raises(RecipientRefused) as refused:
        given.grant("a", order(recipients=()))
    assert refused.value.problem is RecipientProblem.MISSING


@pytest.mark.parametrize(
    ("longest", "wanted", "granted"),
    [(None, None, None), (None, 60, 60), ("12h", None, 43200), ("12h", 60, 60), ("12h", 43200, 43200),
    ("30d", None, 2592000)],
)  # fmt: skip
def test_expiry(longest: str | None, wanted: int | None, granted: int | None) -> None:
    given = policy({**GRANT, "longest_expiry": longest})
    assert given.grant("a", order(expires_in=wanted)).expires_in == granted


# ---------------------------------------------------------------- policies that are wrong


def caller(**changes: object) -> dict[str, object]:
    return {"callers": {"a": {"grants": [GRANT], **changes}}}


def grant(**changes: object) -> dict[str, object]:
    return {"callers": {"a": {"recipients": ["x"], "grants": [{**GRANT, **changes}]}}}


POLICY_FILE = "write a policy with [callers.NAME] tables"
CALLERS = "write a table [callers.NAME] for each caller"
CALLER_ID = "not a caller id; write letters, digits, '_', '-' and '.', 64 at most"
ESCROW = 'write a list of recipients, for example ["age1…"]; left out where there is none'
RECIPIENTS = 'write a list of recipients, for example ["ssh-ed25519 AAAA…"]'
TC3 = "write true where the caller signs with TC3-HMAC-SHA256, else false"
GRANTS = "write one or more [[callers.NAME.grants]] tables"
OWN = "write true where a request may bring its own recipients, else false"
NAMES = 'write a list of patterns for key names, for example ["ci_*"]'
PROJECTS = "write a list of project numbers, for example [0, 1234]"
REGIONS = 'write a list of regions, for example ["ap-guangzhou"]'
EXPIRY = 'write a duration such as "12h" or "30d", after which key pairs are removed'
REQUIRED = 'write a table of tags and value patterns, for example { team = "*" }'
OPTIONAL = 'write a table of tags and value patterns, for example { note = "*" }'
NO_KEY = "there is no such key; write one of"
KEYS = "names, projects, regions, required_tags, optional_tags, longest_expiry, own_recipients"
NOBODY = "a grant has own_recipients = false, and no recipients are registered; write either"
NO_IDS = ["", "a/b", "a,b", "a b", "-a", "ä", "a" * 65]


@pytest.mark.parametrize(
    ("data", "path", "told"),
    [
        (None, "the file", f"malformed; {POLICY_FILE}"),
        ([], "the file", f"malformed; {POLICY_FILE}"),
        ({}, "callers", f"missing; {CALLERS}"),
        ({"callers": []}, "callers", f"malformed; {CALLERS}"),
        ({"callers": {}, "admins": {}}, "admins", f"{NO_KEY} escrow, callers"),
        ({"callers": {}, "escrow": "age1"}, "escrow", f"malformed; {ESCROW}"),
        ({"callers": {}, "escrow": [""]}, "escrow.0", f"malformed; {ESCROW}"),
        ({"callers": {}, "escrow": ["x"] * 21}, "escrow", f"malformed; {ESCROW}"),
        *(({"callers": {name: {"grants": [GRANT]}}}, f"callers.{name}", CALLER_ID) for name in NO_IDS),
        ({"callers": {"a": {}}}, "callers.a.grants", f"missing; {GRANTS}"),
        (caller(grants=[]), "callers.a.grants", f"malformed; {GRANTS}"),
        (caller(tc3="yes"), "callers.a.tc3", f"malformed; {TC3}"),
        (caller(tc3=1), "callers.a.tc3", f"malformed; {TC3}"),
        (caller(secret="x"), "callers.a.secret", f"{NO_KEY} tc3, recipients, grants"),
        (caller(recipients=[1]), "callers.a.recipients.0", f"malformed; {RECIPIENTS}"),
        (caller(grants=[{**GRANT, "own_recipients": False}]), "callers.a", NOBODY),
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
    ],
)
def test_what_is_told_of_a_wrong_policy(data: object, path: str, told: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        Policy.parse(data)
    assert str(refused.value) == f"{path}: {told}"
    assert refused.value.__cause__ is None


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(PolicyInvalid) as refused:
        Policy.parse({"callers": {"a": {"grants": [{"names": ["a b"], "regions": []}]}}, "x": 1})
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == [
        "callers.a.grants.0.names.0",
        "callers.a.grants.0.regions",
        "x",
    ]


def test_loading(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(caller()), encoding="utf-8")
    assert Policy.load(file) == policy(GRANT, tc3=False)


@pytest.mark.parametrize("content", [None, b"", b"[callers]", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_no_policy(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PolicyInvalid) as refused:
        Policy.load(file)
    assert (
        str(refused.value) == f"{file}: not a readable policy in JSON; scripts/build makes one of policy.toml"
    )
