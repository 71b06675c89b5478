"""What new users do wrong, and what `keypair` says; docs/client.md has the same table."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.client_command import Home, credentials, needs
from tests.support.function_process import ROOT
from tests.support.function_under_test import fresh_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.client.conftest import Served

WRONG_SECRET = "A" * 43


@dataclass(frozen=True)
class Mistake:
    """One row: what is done, and what is said. `{NAME}` in the arguments is a name that is free."""

    done: str
    said: str
    then: str
    status: int
    arguments: tuple[str, ...] = ("create", "{NAME}")
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Home], object] = lambda _home: None
    stdin: str = ""


def ssh_key(home: Home, *options: str) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", *(options or ("-t", "ed25519")), "-N", "", "-f", home.folder / "id"], check=True
    )


def envelope(home: Home) -> None:
    """Make a key, another one, and an envelope that the first one opens."""
    ssh_key(home)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home.folder / "other"], check=True)
    home.run("create", fresh_name(), "--recipient", "id.pub", "--save", "envelope")


def locked_envelope(home: Home) -> None:
    """Make an envelope that a key with a passphrase opens."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "passphrase", "-f", home.folder / "locked"], check=True
    )
    home.run("create", fresh_name(), "--recipient", "locked.pub", "--save", "envelope")


def broken_profile(home: Home) -> None:
    file = home.folder / ".config" / "keypair" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[profiles.default]\nurl = "https://keys.example.com"\nsecretid = "demo"\n')


def secret_in_profile(home: Home) -> None:
    file = home.folder / ".config" / "keypair" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'[profiles.default]\nsecret-key = "{WRONG_SECRET}"\n')


MISTAKES = [
    Mistake("a hyphen in the name", "cannot be the name of a key pair", "For example: web_1", 2,
            ("create", "web-1")),
    Mistake("a name of 26 characters", "1 to 25 letters", "For example: aaaaaaaaaaaaaaaaaaaaaaaaa\n", 2,
            ("create", "a" * 26)),
    Mistake("a Chinese name", "cannot be the name of a key pair", "For example: web_1", 2,
            ("create", "密钥")),
    Mistake("the same name again", "exists, and is left alone", "Choose another name", 5,
            ("create", "twice"), prepare=lambda home: home.run("create", "twice")),
    Mistake("a name that is taken", "exists in the account",
            "`keypair show taken` shows it. Choose another name: keypair create taken_2", 5,
            ("create", "taken", "--save", "x"),
            prepare=lambda home: home.run("create", "taken", "--save", "y", status=None)),
    Mistake("no profile yet", "No function address is set", "keypair config set url https://…", 2,
            environment={"KP_URL": ""}),
    Mistake("an address without https://", "has no scheme", "Write https://keys.example.com", 2,
            environment={"KP_URL": "keys.example.com"}),
    Mistake("an address with a path", "has a path", "Give only scheme and host: https://keys.example.com", 2,
            environment={"KP_URL": "https://keys.example.com/v1/key-pairs"}),
    Mistake("an address with a blank", "has blanks", "Remove them", 2,
            environment={"KP_URL": "https://keys.example.com "}),
    Mistake("http to another machine", "is not encrypted", "Use https://keys.example.com", 2,
            environment={"KP_URL": "http://keys.example.com"}),
    Mistake("a host name with a typing error", "unknown host name", "keypair doctor", 7,
            environment={"KP_URL": "https://keys.example.invalid"}),
    Mistake("nothing runs at the address", "connection refused", "keypair doctor", 7,
            environment={"KP_URL": "http://127.0.0.1:9"}),
    Mistake("--local without a local function", "No local function is running", "scripts/serve --emulator", 2,
            ("--local", "create", "{NAME}")),
    Mistake("--local after the command", "--local is written before the command", "keypair --local create", 2,
            ("create", "--local", "{NAME}")),
    Mistake("--local while a profile is changed", "is not changed here", "leave --local out", 2,
            ("--local", "config", "set", "region", "ap-shanghai")),
    Mistake("not signed in", "Not signed in", "keypair login", 3,
            environment={"KP_SECRET_ID": "", "KP_SECRET_KEY": ""}),
    Mistake("a wrong secret", "does not accept the sign-in", "the secret key is wrong", 3,
            environment={"KP_SECRET_KEY": WRONG_SECRET}),
    Mistake("half of the secret", "The secret key cannot be right: its length is 20", "43 letters", 2,
            environment={"KP_SECRET_KEY": "A" * 20}),
    Mistake("a secret in quotes", "The secret key cannot be right", "without blanks or quotes", 2,
            environment={"KP_SECRET_KEY": f'"{WRONG_SECRET}"'}),
    Mistake("a cloud SecretId", "is a SecretId of Tencent Cloud", "its own ids and secrets", 2,
            environment={"KP_SECRET_ID": "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"}),
    Mistake("such an id in the profile", "is a SecretId of Tencent Cloud", "its own ids and secrets", 2,
            ("config", "set", "secret-id", "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE")),
    Mistake("an id with a blank", "has blanks around it", "Remove the blanks", 2,
            environment={"KP_SECRET_ID": " demo"}),
    Mistake("a slash in the id", "cannot be the id of a caller", "no blanks, slashes or commas", 2,
            environment={"KP_SECRET_ID": "team/demo"}),
    Mistake("an id that the policy does not know", "does not accept the sign-in", "is not in the policy", 3,
            environment={"KP_SECRET_ID": "nobody"}),
    Mistake("the secret on the command line", "A secret does not belong", "keypair login", 2,
            ("config", "set", "secret-key", WRONG_SECRET)),
    Mistake("the secret in the profile file", "contains a secret", "keypair login", 2,
            prepare=secret_in_profile),
    Mistake("a misspelt setting", "unknown setting 'secretid'", "Settings are: url", 2,
            prepare=broken_profile),
    Mistake("something that is not a token", "is not a JWT", "begins with 'ey'", 2,
            environment={"KP_TOKEN": "hunter2"}),
    Mistake("a name that the policy does not grant", "The policy does not grant this", "names ci_*", 4,
            environment={"CALLER": "narrow"}),
    Mistake("a tag that the policy does not grant", "The policy does not grant this",
            "No grant of yours covers the tag owner=alice", 4, ("create", "{NAME}", "--tag", "owner=alice")),
    Mistake("--registered where the policy has no key of one's own", "No public key is registered for you",
            "leave --registered out", 6, ("create", "{NAME}", "--registered")),
    Mistake("own recipients where the policy has some", "The policy does not grant this", "add --registered",
            4, environment={"CALLER": "pinned"}),
    Mistake("a longer life than the policy grants", "The policy does not grant this",
            "No grant of yours covers --expires 60d", 4, ("create", "{NAME}", "--expires", "60d")),
    Mistake("a duration in words", "is not a duration", "Write 90m, 12h or 30d", 2,
            ("create", "{NAME}", "--expires", "a month")),
    Mistake("a region in words", "is not a region", "such as ap-guangzhou", 2,
            ("create", "{NAME}", "--region", "Guangzhou")),
    Mistake("such a region in the profile", "is not a region", "such as ap-guangzhou", 2,
            ("config", "set", "region", "guangzhou")),
    Mistake("a tag without a value", "is not a tag", "--tag KEY=VALUE", 2,
            ("create", "{NAME}", "--tag", "team")),
    Mistake("several tags in one", "is not a tag", "Give --tag once for each tag", 2,
            ("create", "{NAME}", "--tag", "team=web,owner=alice")),
    Mistake("a hyphen in a pattern", "No key pair can have a name like 'web-*'", "in a pattern '*' matches",
            2, ("list", "web-*")),
    Mistake("a region that the policy does not grant", "The policy does not grant this",
            "No grant of yours covers the region ap-beijing", 4,
            ("create", "{NAME}", "--region", "ap-beijing")),
    Mistake("a project that the policy does not grant", "The policy does not grant this",
            "No grant of yours covers the project 7", 4, ("create", "{NAME}", "--project", "7")),
    Mistake("a project in words", "is not the number of a project", "as the console shows it", 2,
            ("create", "{NAME}", "--project", "web")),
    Mistake("an empty host", "is not a server", "--host root@1.2.3.4", 2,
            ("create", "{NAME}", "--host", "")),
    Mistake("--include without --host", "--include needs --host", "Add --host USER@HOST", 2,
            ("create", "{NAME}", "--include")),
    Mistake("no terminal to sign in at", "This is not a terminal", "keypair login --stdin", 2,
            ("login",), environment={"KP_SECRET_ID": "demo"}),
    Mistake("an age identity as recipient", "contains a private key. Nothing was sent", "age-keygen -y FILE",
            2, ("create", "{NAME}", "--recipient", "-"), stdin="AGE-SECRET-KEY-1QQQ\n"),
    Mistake("a private JWK as recipient", "contains a private key. Nothing was sent",
            "without its private members", 2, ("create", "{NAME}", "--recipient", "-"),
            stdin='{"kty": "OKP", "crv": "X25519", "x": "AA", "d": "AA"}'),
    Mistake("a private key in PEM as recipient", "contains a private key. Nothing was sent",
            "openssl pkey -in FILE -pubout", 2, ("create", "{NAME}", "--recipient", "-"),
            stdin="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
    Mistake("a PGP private key as recipient", "contains a private key. Nothing was sent",
            "gpg --armor --export NAME", 2, ("create", "{NAME}", "--recipient", "-"),
            stdin="-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n"),
    Mistake("PuTTY's private key as recipient", "contains a private key. Nothing was sent",
            "puttygen FILE -L", 2, ("create", "{NAME}", "--recipient", "-"),
            stdin="PuTTY-User-Key-File-3: ssh-ed25519\n"),
    Mistake("a fingerprint as recipient", "contains a fingerprint, and no key", "ends in .pub", 2,
            ("create", "{NAME}", "--recipient", "-"),
            stdin="SHA256:YfP2HwPvsTuVpVgOwYqawQ/+8L2aiVb4e2vOsb2nI7c\n"),
    Mistake("a user's name from a chat as recipient", "is the name of a user, which chats take",
            "curl https://github.com/alice.keys", 2, ("create", "{NAME}", "--recipient", "github:alice")),
    Mistake("a file to import that is not there", "There is no file id_rsa.pub", "with an RSA public key", 2,
            ("import", "{NAME}", "id_rsa.pub")),
    Mistake("a private key as recipient", "contains a private key. Nothing was sent", "ends in .pub", 2,
            ("create", "{NAME}", "--recipient", "id"), prepare=ssh_key),
    Mistake("a recipient file that is not there", "There is no file alice.pub", "takes a file", 2,
            ("create", "{NAME}", "--recipient", "alice.pub")),
    Mistake("a security key as recipient", "Nothing can be sealed to a key of type sk-", "or ecdsa key", 2,
            ("create", "{NAME}", "--recipient", "-"), stdin="sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaA==\n"),
    Mistake("a recipient cut short", "The function refuses a recipient", "--recipient (number 1)", 6,
            ("create", "{NAME}", "--recipient", "-"), stdin="ssh-ed25519 AAAAC3NzaC1lZDI1\n"),
    Mistake("--agent without an agent", "No ssh-agent is running", 'eval "$(ssh-agent)"', 10,
            ("create", "{NAME}", "--agent")),
    Mistake("a folder that is not there", "There is no folder", "Make it", 2,
            ("create", "{NAME}", "--save", "keys/web_1")),
    Mistake("a file name that is too long", "cannot be written: File name too long", "add --save PATH", 10,
            ("open", "envelope", "--identity", "id", "--save", "x" * 250), prepare=envelope),
    Mistake("a configuration that cannot be written", "/proc/keypair: No such file or directory",
            "its permissions", 10, ("config", "set", "url", "https://keys.example.com"),
            environment={"XDG_CONFIG_HOME": "/proc"}),
    Mistake("standard output as the place of a private key", "is not written to standard output",
            "Name a file", 2, ("create", "{NAME}", "--save", "-")),
    Mistake("a pattern where a name is wanted", "is a pattern", "keypair list 'web_*'", 2,
            ("delete", "web_*", "--yes")),
    Mistake("--agent with --save", "--agent and --save cannot be used together", "Leave one of them out", 2,
            ("open", "-", "--agent", "--save", "x")),
    Mistake("--lifetime without --agent", "--lifetime needs --agent", "Add --agent", 2,
            ("open", "-", "--save", "x", "--lifetime", "1h")),
    Mistake("an envelope that was cut off", "it has no END line", "from BEGIN to END", 9,
            ("open", "-", "--save", "x"), stdin="-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"),
    Mistake("a private key instead of an envelope", "a private key already", "ssh -i FILE", 9,
            ("open", "-", "--save", "x"),
            stdin="-----BEGIN RSA PRIVATE KEY-----\nYWdl\n-----END RSA PRIVATE KEY-----\n"),
    Mistake("something that is not an envelope", "There is no envelope in this", "from BEGIN to END", 9,
            ("open", "-", "--save", "x"), stdin="hello\n"),
    Mistake("the public key to open with", "no age identity and no SSH key", "without .pub", 2,
            ("open", "envelope", "--identity", "id.pub"), prepare=envelope),
    Mistake("a JWE envelope without its key", "opened with the private key", "--identity KEY", 2,
            ("open", "-", "--save", "x"),
            stdin='{"protected":"e30","recipients":[],"iv":"AA","ciphertext":"AA","tag":"AA"}'),
    Mistake("a passphrase where nobody can be asked", "This is not a terminal", "Pipe the passphrase", 2,
            ("open", "envelope", "--identity", "locked"), prepare=locked_envelope),
    Mistake("another key than it was sealed to", "sealed to another key", "--identity KEY", 9,
            ("open", "envelope", "--identity", "other"), prepare=envelope),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.done)
def test_the_message_says_what_to_do(home: Home, service: Served, mistake: Mistake) -> None:
    mistake.prepare(home)
    environment = dict(mistake.environment)
    if caller := environment.pop("CALLER", None):
        environment |= credentials(service.process, caller)
    arguments = [argument.replace("{NAME}", fresh_name()) for argument in mistake.arguments]
    done = home.run(*arguments, status=mistake.status, environment=environment, stdin=mistake.stdin)
    message, _, advice = done.stderr.rpartition("  → ")
    assert mistake.said in message
    assert mistake.then in advice
    assert done.stdout == ""
    assert WRONG_SECRET not in done.stderr
    # What the user did wrong leaves nothing unfinished.
    assert home.pending() == []


@needs("faketime")
def test_a_clock_that_is_off(home: Home) -> None:
    home.run("--version")  # under faketime nothing of Python's is to be compiled
    done = subprocess.run(
        ["faketime", "-f", "+10m", *home.command("create", fresh_name())],
        env=home.variables, cwd=home.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "This machine's clock is off by 10 minutes; set it." in done.stderr
    found = subprocess.run(
        ["faketime", "-f", "-10m", *home.command("doctor")],
        env=home.variables, cwd=home.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 3
    assert "✗ Clock: 10 minutes slow" in found.stdout


TABLE = [
    *((mistake.done, mistake.said, mistake.then.strip()) for mistake in MISTAKES),
    ("a clock that is off by 10 minutes", "does not accept the sign-in", "clock is off by 10 minutes"),
]


@pytest.mark.parametrize(
    "text",
    [
        "PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\nAAAA\n",
        '# my key\n{"kty": "OKP", "d": "AQAB"}\n',
        '[{"kty": "OKP", "d": "AQAB"}]',
        '"{\\"kty\\": \\"OKP\\", \\"d\\": \\"AQAB\\"}"',
        '```\n{"kty": "OKP", "d": "AQAB",}\n```',
    ],
)
@pytest.mark.parametrize("command", [("create", "private", "--recipient"), ("import", "private")])
def test_no_private_key_is_sent(text: str, command: tuple[str, ...], home: Home) -> None:
    (home.folder / "key").write_text(text)
    said = home.run(*command, "key", status=2).stderr
    assert "contains a private key. Nothing was sent." in said


def test_the_table_of_the_manual() -> None:
    text = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    section = text.partition("## Mistakes and messages")[2]
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    assert rows == [("you did", "it says", "and then"), *TABLE]
