"""The command `scripts/policy`: checking and explaining a policy file, and printing a caller's secret."""

from __future__ import annotations

import base64
import hmac
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from handler.chat.platforms.registry import PLATFORMS
from handler.order import KeyPairOrder
from handler.policy.evaluation import granted_order
from handler.policy.model import Policy
from handler.sealing.recipient_problems import RecipientProblem
from scripts.policy_file import PolicyUnusable, check_policy, compile_policy, read_policy
from tests.support.function_process import clean_environment
from tests.support.function_under_test import ESCROW, MASTER, POLICY, RECIPIENT, REGISTERED, caller_secret
from tests.support.jwk_attacks import p256, x25519

pytestmark = pytest.mark.process

KEYS = ", ".join(field.name for field in fields(Policy))
EXAMPLE = Path(__file__).parents[2] / "policy.example.toml"
GRANT = 'names = ["*"]\nregions = ["ap-guangzhou"]\n'
MASTER_TEXT = "bWFzdGVyIHNlY3JldCBvZiB0b2RheSwgMzIgYnl0ZXM"


def policy(*arguments: str, master: str | None = None, **how: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401  # handed through
    return subprocess.run(
        [sys.executable, "-m", "scripts.policy", *arguments],
        env=clean_environment({} if master is None else {"KEYPAIR_MASTER_SECRET": master}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **how,
    )


def error_of(file: Path) -> str:
    """Return the error for `file`, without its name."""
    with pytest.raises(PolicyUnusable) as refused:
        check_policy(file)
    return "\n".join(line.replace(str(file), "FILE", 1) for line in str(refused.value).splitlines())


def toml(tmp_path: Path, content: str | bytes) -> Path:
    file = tmp_path / "policy.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_the_example_is_valid() -> None:
    assert check_policy(EXAMPLE).callers.keys() == {"platform-team", "ci-deploy"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "FILE: callers: missing; write a table [callers.NAME] for each caller"),
        ("callers = 1", "FILE: callers: malformed; write a table [callers.NAME] for each caller"),
        (
            "[callers.a]\n",
            "FILE: callers.a.grants: missing; write one or more [[callers.NAME.grants]] tables",
        ),
        (
            f"[callers.a]\n[[callers.a.grants]]\n{GRANT}own_recipients = true\n",
            "FILE: callers.a: nobody can be this caller; write tc3 = true, or v2, jwt or chat",
        ),
        (
            f"[callers.a]\ntc3 = true\n[[callers.a.grants]]\n{GRANT}",
            (
                "FILE: callers.a: no recipients are registered, and a grant has own_recipients = false; "
                "change one of the two"
            ),
        ),
        (
            f"[callers.a]\nrecipients = ['x']\n[[callers.a.grants]]\n{GRANT}longest_expiry = 2026-11-24\n",
            (
                'FILE: callers.a.grants.0.longest_expiry: malformed; write a duration such as "12h" or '
                '"30d", after which key pairs are removed'
            ),
        ),
        (
            "rate = 1\n[callers.a]\ntc3 = 'yes'\ngrants = []\n",
            (
                "FILE: callers.a.grants: malformed; write one or more [[callers.NAME.grants]] tables\n"
                "FILE: callers.a.tc3: malformed; write true if the caller signs with TC3-HMAC-SHA256, "
                "else false\n"
                f"FILE: rate: unknown key; write one of {KEYS}"
            ),
        ),
        (b"# \xff", "FILE: not UTF-8 text, at byte 2"),
    ],
)
def test_errors_in_a_file(content: str | bytes, text: str, tmp_path: Path) -> None:
    assert error_of(toml(tmp_path, content)) == text


CALLER = f"[callers.a]\ntc3 = true\nrecipients = ['{REGISTERED.to_public()}']\n[[callers.a.grants]]\n{GRANT}"
CHAT_OF_PAGE = "[[callers.page.chat]]\nplatform = 'slack'\ntenant = 'T1'\nuser = 'U1'\n"
CHAT = '[[callers.a.chat]]\nplatform = "{}"\ntenant = "T1"\nuser = "U1"\n'
SIGN_IN = """
[issuers.company]
issuer = "{}"
audience = "keypair-function"
algorithms = ["RS256"]
jwks_url = "https://login.example.com/keys"
once = {}
[web]
issuer = "company"
client_id = "page"
"""


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            CHAT.format("slak"),
            f"FILE: callers: a chat table names no platform; write one of {', '.join(PLATFORMS)}",
        ),
        (
            SIGN_IN.format("company", "false"),
            "FILE: web.issuer: issuers.company.issuer is not an https:// address",
        ),
        (
            SIGN_IN.format("https://login.example.com", "true"),
            "FILE: web.issuer: issuers.company.once is true; the page needs two requests",
        ),
    ],
    ids=["platform", "issuer", "once"],
)
def test_errors_that_the_function_finds_when_it_starts(content: str, text: str, tmp_path: Path) -> None:
    assert error_of(toml(tmp_path, CALLER + content)) == text


def test_a_policy_that_the_function_accepts_when_it_starts(tmp_path: Path) -> None:
    content = CHAT.format("slack") + SIGN_IN.format("https://login.example.com", "false")
    policy = check_policy(toml(tmp_path, CALLER + content))
    assert policy.callers.keys() == {"a"}
    assert (len(policy.issuers), policy.web is None) == (1, False)


@pytest.mark.parametrize(
    ("content", "position"),
    [
        ("a = \n", "line 1, column 5"),
        ("[callers.a]\ntc3 = true\ntc3 = false\n", "line 3, column 12"),
        ("[callers.a]\n[callers.b]\n[callers.a]\n", "line 3, column 11"),
        ("escrow = []\nescrow = []\n", "line 2, column 12"),
    ],
)
def test_toml_that_cannot_be_read(content: str, position: str, tmp_path: Path) -> None:
    """This includes duplicate keys. The parser names the position."""
    text = error_of(toml(tmp_path, content))
    assert text.startswith("FILE: ")
    assert text.endswith(f"(at {position})")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "FILE:1: Expecting property name enclosed in double quotes (column 2)"),
        ('{\n"callers": {},\n}', "FILE:"),
        ("[]", "FILE:1: a policy is an object that contains `callers`"),
        ('{"callers": {"a": {"tc3": true, "tc3": false}}}', "FILE: an object contains the same key twice"),
        ('{"callers": {}, "callers": {}}', "FILE: an object contains the same key twice"),
    ],
)
def test_json_that_cannot_be_read(content: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(content, encoding="utf-8")
    assert error_of(file).startswith(text)


def test_missing_files(tmp_path: Path) -> None:
    assert error_of(tmp_path / "none.toml") == "FILE: No such file or directory"
    assert error_of(tmp_path) == "FILE: Is a directory"


@pytest.mark.parametrize(
    ("recipient", "advice"),
    [
        ("age1nonsense", "the age recipient is mistyped or incomplete; copy it again"),
        (str(RECIPIENT), "this is a private key; replace that key pair, and send only a public key"),
        ("ssh-ed25519 AAAA", RecipientProblem.SSH_MALFORMED.advice),
        (
            "somebody",
            RecipientProblem.UNKNOWN.advice,
        ),
    ],
)
def test_recipients_are_checked(recipient: str, advice: str, tmp_path: Path) -> None:
    good = str(REGISTERED.to_public())
    grant = f"[[callers.a.grants]]\n{GRANT}"
    for content, path in (
        (f"escrow = ['{good}', '{recipient}']\n[callers.a]\nrecipients = ['{good}']\n{grant}", "escrow.1"),
        (f"[callers.a]\nrecipients = ['{recipient}', '{good}']\n{grant}", "callers.a.recipients.0"),
    ):
        text = error_of(toml(tmp_path, content))
        assert text == f"FILE: {path}: {advice}"
        assert recipient not in text


def test_two_keys_of_escrow_with_one_id(tmp_path: Path) -> None:
    """Every order of this format would be refused."""
    keys = [p256(kid="escrow"), x25519(kid="escrow")]
    grant = f"[[callers.a.grants]]\n{GRANT}\nown_recipients = true"
    text = error_of(toml(tmp_path, f"escrow = {keys}\n{grant}"))
    assert text == f"FILE: escrow: {RecipientProblem.AMBIGUOUS.advice}"


def test_compiling(tmp_path: Path) -> None:
    """The packed policy equals the written one. Nothing is written if the file has errors."""
    compile_policy(EXAMPLE, tmp_path / "policy.json")
    assert Policy.parse(read_policy(tmp_path / "policy.json")) == check_policy(EXAMPLE)
    with pytest.raises(PolicyUnusable):
        compile_policy(toml(tmp_path, "x = 1"), tmp_path / "faulty.json")
    assert not (tmp_path / "faulty.json").exists()


def test_ten_thousand_callers(tmp_path: Path) -> None:
    caller = POLICY["callers"]["restricted"]
    file = tmp_path / "policy.json"
    callers = {f"team-{number}": caller for number in range(10_000)}
    file.write_text(json.dumps({"escrow": [str(ESCROW.to_public())], "callers": callers}), encoding="utf-8")
    loaded = Policy.load(file)
    assert len(loaded.callers) == 10_000
    order = KeyPairOrder("ci_1", "ap-shanghai", 1234, (str(RECIPIENT.to_public()),), {"team": "core-1"})
    assert granted_order(loaded, "team-9999", order).expires_in == 12 * 3600


# ---------------------------------------------------------------- the command


def test_check(tmp_path: Path) -> None:
    done = policy("check", str(EXAMPLE))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{EXAMPLE}: ok\n", "")
    faulty = toml(tmp_path, "x = 1\n[callers.a]\n")
    done = policy("check", str(faulty))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"{faulty}: callers.a.grants: missing; write one or more [[callers.NAME.grants]] tables",
        f"{faulty}: x: unknown key; write one of {KEYS}",
    ]


EXPLAINED = """
escrow = ['{escrow}']
[callers.team-a]
tc3 = true
rate = '20/hour'
recipients = ['{registered}']
[[callers.team-a.grants]]
names = ['{{caller}}_*']
regions = ['ap-shanghai', 'ap-guangzhou']
forced_tags = {{ env = 'prod' }}
required_tags = {{ team = 'core-?' }}
optional_tags = {{ note = '*' }}
longest_expiry = '12h'
[[callers.team-a.grants]]
names = ['x_*']
projects = [7]
regions = ['ap-guangzhou']
own_recipients = true
[callers.free]
tc3 = true
[[callers.free.grants]]
names = ['*']
regions = ['ap-guangzhou']
own_recipients = true
"""
A = ["--caller", "team-a"]
TEAM = ["--tag", "team=core-1"]
X = ["--name", "x_1", "--region", "ap-guangzhou", "--project", "7"]
OTHER_TAG = "a tag is not in required_tags or optional_tags, or its value does not match"
NAME_0 = "grant 0: the name matches no pattern in names"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            [*A, "--name", "team_a_1"],
            ["grant 0: a tag of required_tags is missing, or its value does not match"],
        ),
        ([*A, "--name", "b_1", *TEAM], [NAME_0]),
        ([*A, "--name", "team_a_1", *TEAM, "--project", "7"], ["grant 0: the project is not in projects"]),
        (
            [*A, "--name", "team_a_1", *TEAM, "--region", "ap-beijing"],
            ["grant 0: the region is not in regions"],
        ),
        (
            [*A, "--name", "team_a_1", *TEAM, "--tag", "x=y"],
            [f"grant 0: {OTHER_TAG}"],
        ),
        (
            [*A, "--name", "team_a_1", *TEAM, "--recipient", str(RECIPIENT.to_public())],
            ["grant 0: the request names recipients, but own_recipients is false"],
        ),
        (
            [*A, "--name", "team_a_1", *TEAM, "--expires-in", "1d"],
            ["grant 0: the expiry is longer than longest_expiry"],
        ),
        ([*A, *X, *TEAM], [NAME_0, f"grant 1: {OTHER_TAG}"]),
    ],
)
def test_why_a_request_is_refused(options: list[str], told: list[str], tmp_path: Path) -> None:
    done = policy("explain", str(explained(tmp_path)), *options)
    asks, *lines = done.stdout.splitlines()
    assert asks.startswith("team-a asks for ")
    second = [] if len(told) > 1 else ["grant 1: the name matches no pattern in names"]
    assert (done.returncode, lines, done.stderr) == (1, [*told, *second, "refused"], "")


def test_why_a_request_is_allowed(tmp_path: Path) -> None:
    file = str(explained(tmp_path))
    registered, own, escrow = (str(key.to_public()) for key in (REGISTERED, RECIPIENT, ESCROW))
    done = policy("explain", file, *A, "--name", "team_a_1", *TEAM, "--tag", "note=x")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "team-a asks for team_a_1 in ap-shanghai, project 0",
        "grant 0: allows it",
        f"sealed as age to: {registered}, {escrow}",
        "tags: team=core-1, note=x, env=prod",
        "removed after: 43200 seconds",
        "rate: 20/hour",
        "allowed",
    ]
    done = policy("explain", file, *A, *X, "--recipient", f"# mine\n{own} laptop")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "team-a asks for x_1 in ap-guangzhou, project 7",
        NAME_0,
        "grant 1: allows it",
        f"sealed as age to: {own}, {escrow}",
        "ignored in recipient 0: comment lines, the key's comment",
        "tags: none",
        "removed after: never",
        "rate: 20/hour",
        "allowed",
    ]


OPERATOR = f"""
[callers.a]
tc3 = true
[[callers.a.grants]]
{GRANT}
own_recipients = true
[[callers.a.grants]]
{GRANT}
actions = ["list", "import"]
callers = ["b"]
"""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["list"],
            ["grant 0: the action is not in actions", "grant 1: allows it", "rate: unlimited", "allowed"],
        ),
        (
            ["list", "--owner", "c"],
            [
                "grant 0: the action is not in actions",
                "grant 1: the key pair is another caller's, and callers does not list that one",
                "refused",
            ],
        ),
        (
            ["import"],
            [
                "grant 0: the action is not in actions",
                "grant 1: allows it",
                "tags: none",
                "removed after: never",
                "rate: unlimited",
                "allowed",
            ],
        ),
        (["delete"], [f"grant {number}: the action is not in actions" for number in (0, 1)] + ["refused"]),
    ],
)
def test_other_actions_are_explained(options: list[str], told: list[str], tmp_path: Path) -> None:
    file = str(toml(tmp_path, OPERATOR))
    done = policy("explain", file, "--caller", "a", "--name", "x_1", "--action", *options)
    asks, *lines = done.stdout.splitlines()
    assert asks == f"a asks to {options[0]} x_1 in ap-guangzhou, project 0"
    assert (done.returncode, lines, done.stderr) == (0 if "allowed" in told else 1, told, "")


def test_the_operators_grant_in_the_docs(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/callers.md").read_text(encoding="utf-8")
    found = re.search(r"```toml\n(\[callers\.oncall.*?)```.*?```sh\n(.*?)```", text, re.DOTALL)
    assert found
    grant, command = found.groups()
    (tmp_path / "policy.toml").write_text(grant, encoding="utf-8")
    done = policy(*shlex.split(command)[1:], cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "allowed")


@pytest.mark.parametrize(
    ("recipients", "told"),
    [
        (
            [],
            """granted if the request names a recipient; without one it is refused
To see what becomes of a request that names one, add --recipient and a public key.""",
        ),
        (["--recipient", "age1x"], f"refused: {RecipientProblem.BECH32.advice}"),
        (["--recipient", str(RECIPIENT)], f"refused: {RecipientProblem.PRIVATE.advice}"),
    ],
)
def test_recipients_of_a_request_are_vetted(recipients: list[str], told: str, tmp_path: Path) -> None:
    done = policy("explain", str(explained(tmp_path)), "--caller", "free", "--name", "a", *recipients)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith(f"\n{told}\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--caller", "nobody", "--name", "a"], "FILE: no caller nobody, so every request is refused"),
        ([*A, "--name", "a-b"], "--name is not valid in a request; it takes 1 to 25 letters, digits and '_'"),
        (
            [*A, "--name", "a", "--tag", "team"],
            "--tag is not valid in a request; it takes KEY=VALUE, at most 20 times",
        ),
        (
            [*A, "--name", "a", "--project", "-1"],
            "--project is not valid in a request; it takes the number of a project",
        ),
        (
            [*A, "--name", "a", "--expires-in", "soon"],
            "--expires-in is not valid in a request; it takes a duration, such as 90m, 12h or 30d",
        ),
    ],
)
def test_requests_that_cannot_be_explained(options: list[str], told: str, tmp_path: Path) -> None:
    file = explained(tmp_path)
    done = policy("explain", str(file), *options)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told.replace("FILE", str(file)) + "\n")
    done = policy("explain", str(toml(tmp_path, "x = 1")), *options)
    assert (done.returncode, done.stdout) == (2, "")


def explained(folder: Path) -> Path:
    keys = {"escrow": ESCROW.to_public(), "registered": REGISTERED.to_public()}
    return toml(folder, EXPLAINED.format(**keys))


@pytest.fixture
def demo(tmp_path: Path) -> str:
    """A policy whose caller demo signs, and whose caller page does not."""
    grants = f"{GRANT}own_recipients = true\n"
    content = f"[callers.demo]\ntc3 = true\nv2 = ['HmacSHA256']\n[[callers.demo.grants]]\n{grants}"
    return str(toml(tmp_path, f"{content}[callers.page]\n{CHAT_OF_PAGE}[[callers.page.grants]]\n{grants}"))


def test_a_secret_is_not_written_to_a_pipe_without_print(demo: str) -> None:
    done = policy("secret", "demo", "--policy", demo, master=MASTER_TEXT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "The output is not a terminal. Add --print to print the secret anyway\n"
    done = policy("secret", "demo", "--policy", demo, "--print", master=MASTER_TEXT)
    assert (done.returncode, done.stdout, done.stderr) == (0, caller_secret("demo", MASTER) + "\n", "")
    done = policy("secret", "demo", "--policy", demo, "--v2", "--print", master=MASTER_TEXT)
    expected = base64.urlsafe_b64encode(hmac.digest(MASTER, b"v2:demo", "sha256")).decode().rstrip("=")
    assert (done.returncode, done.stdout, done.stderr) == (0, expected + "\n", "")


def test_a_secret_is_shown_on_a_terminal(demo: str) -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "scripts.policy", "secret", "demo", "--policy", demo],
            env=clean_environment({"KEYPAIR_MASTER_SECRET": MASTER_TEXT}),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
        shown = os.read(ours, 1000).decode() if done.returncode == 0 else ""
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown == caller_secret("demo", MASTER) + "\r\n"


@pytest.mark.parametrize("master", [None, "", MASTER_TEXT + "=", MASTER_TEXT[:-1]])
def test_a_secret_needs_a_master_secret(master: str | None, demo: str) -> None:
    done = policy("secret", "demo", "--policy", demo, "--print", master=master)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "KEYPAIR_MASTER_SECRET has to be set as for the function\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["nobody"], "FILE: there is no caller nobody, and therefore no secret"),
        (["page"], "FILE: callers.page has no tc3 = true: no secret would work"),
        (["page", "--v2"], "FILE: callers.page has no v2: no secret would work"),
    ],
)
def test_there_is_no_secret_for_somebody_who_cannot_sign(options: list[str], told: str, demo: str) -> None:
    done = policy("secret", *options, "--policy", demo, "--print", master=MASTER_TEXT)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told.replace("FILE", demo) + "\n")


def test_a_secret_needs_a_policy(tmp_path: Path) -> None:
    missing = str(tmp_path / "policy.toml")
    done = policy("secret", "demo", "--policy", missing, "--print", master=MASTER_TEXT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{missing}: No such file or directory\n"


def test_without_a_command() -> None:
    done = policy()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: scripts/policy ")
