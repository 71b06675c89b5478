"""`keypair open`: each kind of envelope, however it was pasted, with each kind of key."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from client.envelopes.text import find_envelope
from tests.support.client_command import Home, listed, public_half, running_agent
from tests.support.function_process import ROOT
from tests.support.function_under_test import fresh_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def ssh_key(home: Home, kind: str = "ed25519", passphrase: str = "", *more: str) -> Path:
    path = home.folder / f"key_{kind}"
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path), *more]
    subprocess.run(command, check=True)
    return path


def sealed(home: Home, recipient: str | Path) -> tuple[Path, dict[str, Any]]:
    """Order a key pair for somebody else; return the file with the envelope, and the answer."""
    name = fresh_name()
    answer = json.loads(home.run("create", name, "--recipient", recipient, "--json").stdout)
    return home.folder / answer["envelopeFile"], answer


@pytest.fixture
def for_ssh(home: Home) -> tuple[Path, Path, dict[str, Any]]:
    """An SSH key, an envelope to it, and what the function said."""
    key = ssh_key(home)
    envelope, answer = sealed(home, key.with_suffix(".pub"))
    return key, envelope, answer


PASTED: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "windows line ends": lambda text: text.replace("\n", "\r\n"),
    "old macintosh line ends": lambda text: text.replace("\n", "\r"),
    "a code fence": lambda text: f"Here it is:\n```\n{text}```\nBye\n",
    "indented": lambda text: textwrap.indent(text, "        "),
    "quoted mail": lambda text: textwrap.indent(text, "> "),
    "no last line end": str.rstrip,
    "blank lines": lambda text: text.replace("\n", "\n\n"),
    "in double quotes": lambda text: f'"{text}"',
    "JSON string": json.dumps,
    "JSON string without its quotes": lambda text: json.dumps(text)[1:-1],
    "JSON answer": lambda text: json.dumps({"sealedPrivateKey": {"ciphertext": text, "format": "age"}}),
    "JSON answer in a fence": lambda text: (
        f"```json\n{json.dumps({'sealedPrivateKey': {'ciphertext': text}})}\n```"
    ),
    "the SDK's answer": lambda text: json.dumps({"Response": {"KeyPair": {"PrivateKey": text}}}),
    "the answer of API v2": lambda text: json.dumps({"code": 0, "data": {"secretkey": text}}),
    "byte order mark": lambda text: "\ufeff" + text,
}


@pytest.mark.parametrize("pasted", PASTED)
def test_however_it_is_pasted(home: Home, for_ssh: tuple[Path, Path, dict[str, Any]], pasted: str) -> None:
    key, envelope, answer = for_ssh
    text = PASTED[pasted](envelope.read_text())
    home.run("open", "-", "-i", key, "--save", "opened.pem", stdin=text)
    assert public_half(home.folder / "opened.pem") == answer["publicKey"]


SIZE = 1 << 20
# What takes a reader that starts over at each beginning minutes, or more stack than there is.
HOSTILE: dict[str, str] = {
    "beginnings without an end": "-----BEGIN CMS-----\n" * (SIZE // 20),
    "beginnings of a JWE": "eyJ" * (SIZE // 3),
    "headers of armor": "-----BEGIN PGP MESSAGE-----\n"
    + "".join(f"A: {number}\n" for number in range(SIZE // 10))
    + "-----BEGIN CMS-----",
    "brackets in brackets": "[" * SIZE,
    "objects in objects": '{"a":' * (SIZE // 5),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_text_is_read_once(hostile: str) -> None:
    """Some have an envelope. Quadratic time would be hours, and the program would be stopped."""
    program = """
import contextlib, sys
from client.envelopes.text import find_envelope
from client.errors import NotOpened
with contextlib.suppress(NotOpened):
    find_envelope(sys.stdin.read())
"""
    subprocess.run(
        [sys.executable, "-c", program], input=HOSTILE[hostile], text=True, check=True, timeout=300
    )


def test_the_headers_of_armor_are_read_once() -> None:
    headers = "".join(f"A: {number}\n" for number in range(SIZE // 10))
    found = find_envelope(f"-----BEGIN PGP MESSAGE-----\n{headers}\nAAAA\n-----END PGP MESSAGE-----")
    assert found.text == "-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n"


def test_the_first_whole_envelope_is_found() -> None:
    cut = "-----BEGIN PGP MESSAGE-----\nAAAA\n-----END CMS-----\n"
    whole = "-----BEGIN CMS-----\nBBBB\n-----END CMS-----\n"
    assert find_envelope(cut + whole + whole).text == whole
    compact = "eyJhbGciOiJ9..YQ.Yg.Yw"
    assert find_envelope(f"eyJ.x.y token:\n {compact[:9]}\n{compact[9:]}, eyJ").text == compact


@pytest.mark.parametrize("file", ["-", "big"])
def test_a_file_that_is_too_large(tmp_path: Path, file: str) -> None:
    (tmp_path / "big").write_text("x" * (SIZE + 1))
    stdin = "x" * (SIZE + 1) if file == "-" else ""
    done = Home(tmp_path).run("open", file, "--save", "key.pem", stdin=stdin, status=9)
    assert "is larger than 1 MiB" in done.stderr


def test_what_powershell_writes(home: Home, for_ssh: tuple[Path, Path, dict[str, Any]]) -> None:
    key, envelope, answer = for_ssh
    envelope.write_bytes(envelope.read_text().replace("\n", "\r\n").encode("utf-16"))
    home.run("open", envelope, "-i", key)
    assert public_half(envelope.with_suffix(".pem")) == answer["publicKey"]


def test_the_usual_ssh_key_is_found(home: Home) -> None:
    home.ssh.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home.ssh / "id_ed25519"], check=True)
    envelope, answer = sealed(home, home.ssh / "id_ed25519.pub")
    home.run("open", envelope)
    assert public_half(envelope.with_suffix(".pem")) == answer["publicKey"]
    # Again: the same file, which is left as it is.
    home.run("open", envelope)
    envelope.with_suffix(".pem").write_text("something else")
    assert "left alone" in home.run("open", envelope, status=5).stderr


@pytest.mark.interpreter
@pytest.mark.parametrize("more", [(), ("-m", "PEM"), ("-m", "PKCS8")], ids=["openssh", "pem", "pkcs8"])
def test_keys_with_a_passphrase(home: Home, more: tuple[str, ...]) -> None:
    key = ssh_key(home, "rsa", "the passphrase", *more)
    envelope, answer = sealed(home, key.with_suffix(".pub"))
    wrong = home.run("open", envelope, "-i", key, stdin="another one\n", status=9)
    assert "passphrase" in wrong.stderr
    home.run("open", envelope, "-i", key, stdin="the passphrase\n")
    assert public_half(envelope.with_suffix(".pem")) == answer["publicKey"]


def test_into_the_agent(home: Home, for_ssh: tuple[Path, Path, dict[str, Any]]) -> None:
    key, envelope, answer = for_ssh
    with running_agent(home.folder) as agent:
        home.run("open", envelope, "-i", key, "--agent", "--lifetime", "1h", environment=agent)
        assert answer["fingerprint"] in listed(agent)
    assert not envelope.with_suffix(".pem").exists()


# ---------------------------------------------------------------- JWE, CMS, OpenPGP


@pytest.mark.parametrize("bits", ["256", "384", "521"])
def test_jwe_with_an_ecdsa_key_of_openssh(home: Home, bits: str) -> None:
    key = ssh_key(home, "ecdsa", "", "-b", bits)
    envelope, answer = sealed(home, key.with_suffix(".pub"))
    assert envelope.suffix == ".jwe"
    home.run("open", envelope, "-i", key)
    assert public_half(envelope.with_suffix(".pem")) == answer["publicKey"]


@pytest.mark.parametrize(("file", "suffix"), [("jwk-azure-nulls.json", ".jwe"), ("rsa-wrapped.pub", ".age")])
def test_recipients_as_they_are_pasted(home: Home, file: str, suffix: str) -> None:
    """The function reads what stands around a key, and a key in several lines is one recipient."""
    envelope, _ = sealed(home, ROOT / "tests" / "support" / "pasted" / file)
    assert envelope.suffix == suffix


@pytest.mark.interpreter
@pytest.mark.parametrize("several", [False, True])
def test_jwe_with_a_jwk(home: Home, several: bool) -> None:  # noqa: FBT001  # a parameter of the test
    from jwcrypto.jwk import JWK

    private = JWK.generate(kty="EC", crv="P-384")
    (home.folder / "private.jwk").write_text(private.export())
    (home.folder / "public.jwk").write_text(private.export_public())
    recipients = ["--recipient", "public.jwk"]
    if several:
        (home.folder / "other.jwk").write_text(JWK.generate(kty="EC", crv="P-384").export_public())
        recipients += ["--recipient", "other.jwk"]
    name = fresh_name()
    answer = json.loads(home.run("create", name, *recipients, "--json").stdout)
    home.run("open", f"{name}.jwe", "-i", "private.jwk")
    assert public_half(home.folder / f"{name}.pem") == answer["publicKey"]


@pytest.mark.interpreter
def test_cms(home: Home) -> None:
    key = home.folder / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", key], check=True, capture_output=True)
    public = home.folder / "public.pem"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    envelope, answer = sealed(home, public)
    home.run("open", envelope, "-i", key)
    assert public_half(envelope.with_suffix(".pem")) == answer["publicKey"]
    # openssl prints what it decrypts before it finds that it was changed, here in the tag at the end: the
    # key is whole, and still nothing of it may be saved.
    *body, end, _ = envelope.read_text().split("\n")
    body[-1] = body[-1].swapcase()
    envelope.write_text("\n".join([*body, end, ""]))
    home.run("open", envelope, "-i", key, "--save", "changed.pem", status=9)
    assert not (home.folder / "changed.pem").exists()


def test_openpgp(home: Home) -> None:
    ring = home.folder / "gnupg"
    ring.mkdir(mode=0o700)
    gpg = {"GNUPGHOME": str(ring)}
    generate = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "me@example.com",
                "future-default", "default", "never"]  # fmt: skip
    variables = home.variables | gpg
    subprocess.run(generate, env=variables, check=True, capture_output=True)
    exported = subprocess.run(
        ["gpg", "--armor", "--export", "me@example.com"], env=variables, check=True, capture_output=True
    ).stdout
    (home.folder / "me.asc").write_bytes(exported)
    envelope, answer = sealed(home, "me.asc")
    seal = ["gpg", "--batch", "--quiet", "--armor", "--trust-model", "always", "-r", "me@example.com"]
    bomb = home.folder / "bomb.asc"
    bomb.write_bytes(
        subprocess.run(
            [*seal, "--encrypt"], env=variables, check=True, capture_output=True, input=bytes(10_000_000)
        ).stdout
    )
    assert bomb.stat().st_size < 100_000
    try:
        home.run("open", envelope, environment=gpg)
        done = home.run("open", bomb, "--save", "bomb", environment=gpg, status=9)
        assert "gpg cannot open the envelope" in done.stderr
        assert not (home.folder / "bomb").exists()
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=variables, check=True)
    assert public_half(envelope.with_suffix(".pem")) == answer["publicKey"]
