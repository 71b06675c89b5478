"""The command's grammar."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.chat.command import (
    TEXT_LIMIT,
    Command,
    CommandProblem,
    DeleteCommand,
    HelpCommand,
    KeyPairCommand,
    ListCommand,
    parse_command,
    place_of,
    plain,
)
from handler.order import PrivateKeyFormat
from tests.support.random_cases import examples

AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKNx6lyOWWaOLlrz6GhGfzR+kSQD41Qtut/5aNpRfeZn"
ARMOR = """-----BEGIN PGP PUBLIC KEY BLOCK-----
Comment: for letters  in haste

mDMEZ0Nn
=abcd
-----END PGP PUBLIC KEY BLOCK-----"""
DAY = 86400
AGE2 = "age1jfcnrcq85claw4sqa4z50379tn5pxc5065e4cutp5z9dnuw7wvrqjwqy4j"
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ=="
JWK = '{"kty": "EC", "kid": "for {x} in", "more": {}}'
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
CHAIN = f"{CERTIFICATE}\n{CERTIFICATE}"
BAG = f"Bag Attributes\n    friendlyName: for one in two\n{CERTIFICATE}"
PPK = PrivateKeyFormat.PPK


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/keypair web_1", KeyPairCommand("web_1")),
        ("  /KeyPair\tweb_1\n", KeyPairCommand("web_1")),
        ("keypair web_1", KeyPairCommand("web_1")),
        ("/密钥对 web_1", KeyPairCommand("web_1")),
        (f"/keypair web_1 for {AGE}", KeyPairCommand("web_1", (AGE,))),
        (f"/keypair web_1 for {SSH}", KeyPairCommand("web_1", (SSH,))),
        (f"/keypair a for {SSH} me@pc in ap-shanghai", KeyPairCommand("a", (SSH,))),
        (f"/keypair a in ap-shanghai for {SSH} me@pc", KeyPairCommand("a", (SSH,), "ap-shanghai")),
        (f"/keypair a for {SSH} me\nin ap-bj", KeyPairCommand("a", (SSH,), "ap-bj")),
        (f"/keypair a for {SSH} me\n{AGE}\nexpires 1h", KeyPairCommand("a", (SSH, AGE), None, 3600)),
        (f"/keypair a for {SSH} me {RSA} you", KeyPairCommand("a", (SSH, RSA))),
        (f"/keypair a for {SSH} me\n{SSH} you", KeyPairCommand("a", (SSH,))),
        (f"/keypair a for {AGE}, {AGE2} in ap-bj", KeyPairCommand("a", (AGE, AGE2), "ap-bj")),
        (f"/keypair a for # mine\n{SSH}", KeyPairCommand("a", (SSH,))),
        (f"/keypair a for {JWK} in ap-bj", KeyPairCommand("a", (JWK,), "ap-bj")),
        (f"/keypair a for {JWK[:-1]}", KeyPairCommand("a", (JWK[:-1],))),
        (f"/keypair a for {CERTIFICATE}\nin ap-bj", KeyPairCommand("a", (CERTIFICATE,), "ap-bj")),
        (f"/keypair a for {CHAIN}", KeyPairCommand("a", (CHAIN,))),
        (f"/keypair a for {BAG} in b-c", KeyPairCommand("a", (BAG,), "b-c")),
        (f"/keypair a for no-pty {SSH} in x", KeyPairCommand("a", (f"no-pty {SSH} in x",))),
        (f"`/keypair a for {AGE}`", KeyPairCommand("a", (AGE,))),
        (f"/keypair a for ```\n{CERTIFICATE}\n```\nin ap-bj", KeyPairCommand("a", (CERTIFICATE,), "ap-bj")),
        (f"/keypair \u201ca\u201d for \u201c{AGE}\u201d", KeyPairCommand("a", (AGE,))),
        ("/keypair a for x:y \u2014expires 1d", KeyPairCommand("a", ("x:y",), None, DAY)),
        ("/keypair a --in=ap-bj --expires 30 days --as ppk", KeyPairCommand("a", (), "ap-bj", 30 * DAY, PPK)),
        ("/key\u200bpair a\u200b in ap-bj", KeyPairCommand("a", region="ap-bj")),
        (
            "\uff0f密钥对\u3000a\uff0c给 x\uff1ay\uff0c有效期\uff1a\uff13\uff10天\u3002",
            KeyPairCommand("a", ("x:y",), None, 30 * DAY),
        ),
        ("/密钥对 a 给x:y 在ap-bj 有效期12小时 格式ppk", KeyPairCommand("a", ("x:y",), "ap-bj", 43200, PPK)),
        ("/密钥对 a 有效期 90 分钟", KeyPairCommand("a", (), None, 5400)),
        ("/keypair web_1 in ap-guangzhou", KeyPairCommand("web_1", region="ap-guangzhou")),
        ("/keypair web_1 expires 30d", KeyPairCommand("web_1", expires_in=30 * DAY)),
        ("/keypair create web_1 for x:y", KeyPairCommand("web_1", ("x:y",))),
        ("/keypair create for x:y", KeyPairCommand("create", ("x:y",))),
        ("/密钥对 创建 web_1", KeyPairCommand("web_1")),
        ("/keypair create", KeyPairCommand("create")),
        ("/keypair a expires in 30 days in ap-bj", KeyPairCommand("a", (), "ap-bj", 30 * DAY)),
        ("/keypair web_1 expires 90m", KeyPairCommand("web_1", expires_in=5400)),
        ("/keypair a expires 12h in ap-bj for x:y", KeyPairCommand("a", ("x:y",), "ap-bj", 43200)),
        ("/keypair a FOR x:y In ap-bj EXPIRES 1h", KeyPairCommand("a", ("x:y",), "ap-bj", 3600)),
        ("/密钥对 a 给 x:y 在 ap-bj 有效期 1h", KeyPairCommand("a", ("x:y",), "ap-bj", 3600)),
        (f"/keypair a for {SSH[:11]}\r\n\t{SSH[12:]}  me", KeyPairCommand("a", (SSH,))),
        (f"/keypair a for\n{ARMOR}\nin ap-bj", KeyPairCommand("a", (ARMOR,), "ap-bj")),
        (f"/密钥对 a 在 ap-bj 给 {ARMOR}\n", KeyPairCommand("a", (ARMOR,), "ap-bj")),
        ("/keypair a for -----BEGIN X----- in b", KeyPairCommand("a", ("-----BEGIN X----- in b",))),
        ("/keypair for", KeyPairCommand("for")),
        ("/keypair keypair", KeyPairCommand("keypair")),
        ("/keypair help for x:y", KeyPairCommand("help", ("x:y",))),
        ("/keypair list", ListCommand()),
        ("/keypair List in ap-bj", ListCommand("ap-bj")),
        ("/密钥对 列表 在ap-bj", ListCommand("ap-bj")),
        ("/keypair delete web_1", DeleteCommand("web_1")),
        ("/keypair delete web_1 in ap-bj", DeleteCommand("web_1", None, "ap-bj")),
        ("`/keypair delete list KDTRMP --in=ap-bj`", DeleteCommand("list", "kdtrmp", "ap-bj")),
        ("/密钥对 删除 web_1，kdtrmp，在 ap-bj", DeleteCommand("web_1", "kdtrmp", "ap-bj")),
    ],
)  # fmt: skip
def test_valid_commands(text: str, wanted: Command) -> None:
    assert parse_command(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["help", "HELP", "/help", "?", "帮助", "/帮助", "/keypair", "/keypair help", "/keypair 帮助", "help me"],
)
def test_who_asks_for_help_gets_it(text: str) -> None:
    assert parse_command(text) is HelpCommand.HELP


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", CommandProblem.OTHER),
        ("   ", CommandProblem.OTHER),
        ("hello", CommandProblem.OTHER),
        ("web_1", CommandProblem.OTHER),
        ("/keypairs web_1", CommandProblem.OTHER),
        ("please /keypair web_1", CommandProblem.OTHER),
        ("/keypair " + "x" * TEXT_LIMIT, CommandProblem.LONG),
        ("x" * TEXT_LIMIT + "y", CommandProblem.OTHER),
        ("/keypair web-1", CommandProblem.NAME),
        ("/keypair " + "x" * 26, CommandProblem.NAME),
        ("/keypair 名称", CommandProblem.NAME),
        ("/keypair ` for x", CommandProblem.WORD),
        ("/keypair a for", CommandProblem.RECIPIENT),
        ("/keypair a for in ap-guangzhou", CommandProblem.RECIPIENT),
        ("/keypair a in", CommandProblem.REGION),
        ("/keypair a in Guangzhou", CommandProblem.REGION),
        ("/keypair a in ap-guangzhou ap-shanghai", CommandProblem.REGION),
        ("/keypair a expires", CommandProblem.EXPIRY),
        ("/keypair a expires never", CommandProblem.EXPIRY),
        ("/keypair a expires 0d", CommandProblem.EXPIRY),
        ("/keypair a expires 30", CommandProblem.EXPIRY),
        ("/keypair a expires 9999999d", CommandProblem.EXPIRY),
        ("/keypair a as pem", CommandProblem.FORMAT),
        ("/keypair a for " + " ".join(f"age1{n}" for n in range(21)), CommandProblem.MANY),
        (f"/keypair a for {AGE} my laptop", CommandProblem.WORD),
        ("/keypair a for x:y for z:y", CommandProblem.TWICE),
        ("/keypair a in ap-guangzhou 在 ap-guangzhou", CommandProblem.TWICE),
        ("/keypair a b", CommandProblem.WORD),
        ("/keypair a for \ud800", CommandProblem.OTHER),
        ("/keypair a region ap-guangzhou", CommandProblem.WORD),
        ("/keypair list all", CommandProblem.WORD),
        # U+017F is a long 's', U+0131 an 'i' without a dot, U+0130 one with a dot.
        ("/keypair a a\u017f openssh", CommandProblem.WORD),
        ("/keypair a expire\u017f 30d", CommandProblem.WORD),
        ("/keypair a exp\u0131res 30d", CommandProblem.WORD),
        ("/keypair a \u0130n ap-guangzhou", CommandProblem.WORD),
        ("/keypair a expires 30m\u0131nutes", CommandProblem.EXPIRY),
        ("/keypair list for x:y", CommandProblem.WORD),
        ("/keypair list in ap-bj in ap-bj", CommandProblem.WORD),
        ("/keypair list in Beijing", CommandProblem.REGION),
        ("/keypair delete", CommandProblem.NAME),
        ("/keypair delete web-1", CommandProblem.NAME),
        ("/keypair delete a b c", CommandProblem.WORD),
    ],
)
def test_invalid_commands(text: str, mistake: CommandProblem) -> None:
    assert parse_command(text) is mistake


words = st.sampled_from(
    ["/keypair", "help", "for", "in", "expires", "给", "a_1", "30d", "ap-guangzhou", "github:a"]
)


@pytest.mark.slow
@settings(max_examples=examples(100), deadline=None, database=None, derandomize=True)
@given(st.one_of(st.text(), st.lists(st.one_of(words, st.text(max_size=8)), max_size=12).map(" ".join)))
def test_any_text_is_a_command_help_or_a_mistake(text: str) -> None:
    command = parse_command(text)
    assert isinstance(command, (KeyPairCommand, ListCommand, DeleteCommand, HelpCommand, CommandProblem))
    if isinstance(command, KeyPairCommand):
        assert command.name in plain(text)
        assert parse_command(written(command)) == command


def written(wanted: KeyPairCommand) -> str:
    text = f"/keypair {wanted.name}"
    text += "" if wanted.region is None else f" in {wanted.region}"
    text += "" if wanted.private_key_format is None else f" as {wanted.private_key_format.value}"
    keys = "".join(f" for {recipient}" for recipient in wanted.recipients)
    if wanted.expires_in is None:
        return text + keys
    units = ((DAY, "d"), (3600, "h"), (60, "m"))
    size, unit = next((size, unit) for size, unit in units if not wanted.expires_in % size)
    return f"{text} expires {wanted.expires_in // size}{unit}{keys}"


@pytest.mark.parametrize(
    ("recipient", "place"),
    [
        ("github:alice", ("github", "alice")),
        ("gitlab.example.com:Alice_B.c-9", ("gitlab.example.com", "Alice_B.c-9")),
        ("github:_x", ("github", "_x")),
        *(
            (recipient, None)
            for recipient in (
                "", AGE, SSH, "github", "github:", ":alice", "github:a/b", "github:.", "github:..",
                "github:.a", "github:-a", "github:a b", "github:a?b", "github:a#b", "github:a%2fb",
                "github:a:b", "github:ä", "github:a\n", "https://x/a", "github:" + "a" * 65,
            )
        ),
    ],
)  # fmt: skip
def test_what_is_a_place(recipient: str, place: tuple[str, str] | None) -> None:
    assert place_of(recipient) == place
