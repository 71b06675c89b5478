"""A function that is broken or not the function: nothing that it sends is saved or followed unchecked."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from client.cli import run
from tests.support.untrusted_function import (
    HEARD_OUT,
    KEY,
    OTHER,
    Reply,
    answer,
    certificate_for,
    fingerprint,
    home_at,
    pem,
    public_key,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


def test_this_stand_in_is_believed_where_it_is_right(tmp_path: Path) -> None:
    with serving(lambda order: answer(order, pem(KEY))) as (url, _):
        home = home_at(tmp_path, url)
        home.run("create", "web_1")
        assert (home.ssh / "web_1").read_bytes() == pem(KEY)


WRONG: dict[str, Callable[[dict[str, Any]], Reply]] = {
    "another private key": lambda order: answer(order, pem(OTHER)),
    "another public key": lambda order: answer(order, pem(KEY), publicKey=public_key(OTHER)),
    "another fingerprint": lambda order: answer(order, pem(KEY), fingerprint=fingerprint(OTHER)),
    "another name": lambda order: answer(order, pem(KEY), keyName="web_2"),
    "no key at all": lambda order: answer(order, b"hello"),
    "half a key": lambda order: answer(order, pem(KEY)[:800]),
    "an envelope to somebody else": lambda order: answer(
        {**order, "recipients": [str(pyrage.x25519.Identity.generate().to_public())]}, pem(KEY)
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_key_that_is_not_the_announced_one_is_not_saved(tmp_path: Path, wrong: str) -> None:
    with serving(WRONG[wrong]) as (url, _):
        home = home_at(tmp_path, url)
        done = home.run("create", "web_1", status=9)
    assert not list(home.ssh.iterdir())
    assert "PRIVATE KEY" not in done.stderr
    assert len(home.pending()) == 1  # for whoever looks into it


def test_an_incomplete_answer(tmp_path: Path) -> None:
    reply = 201, {"Content-Type": "application/json"}, b'{"keyName": "web_1"}'
    replies = iter([reply])
    with serving(lambda order: next(replies, answer(order, pem(KEY)))) as (url, _):
        home = home_at(tmp_path, url)
        done = home.run("create", "web_1", status=8)
        assert "incomplete" in done.stderr
        assert "the request is kept" in done.stderr
        # It is asked for again, not remembered.
        home.run("create", "web_1")
    assert (home.ssh / "web_1").read_bytes() == pem(KEY)


SPOOF = "\x1b]0;title\x07\x1b[2K\x9b1A\u202e\u2066\r\n✓ Key pair web_1"


def test_no_text_of_the_function_controls_the_terminal(tmp_path: Path) -> None:
    problem = {"type": "urn:keypair-function:newer", "code": "newer", "title": SPOOF, "status": 422}
    headers = {"Content-Type": "application/problem+json", "X-Request-Id": "\x1b[31m"}
    with serving(lambda _order: (422, headers, json.dumps(problem).encode())) as (url, _):
        done = home_at(tmp_path, url).run("create", "web_1", status=6)
    shown = done.stdout + done.stderr
    assert "✓ Key pair web_1 (newer)" in shown
    assert not any(unicodedata.category(letter) in {"Cc", "Cf"} for letter in shown.replace("\n", ""))
    assert not any(line.startswith("✓") for line in shown.splitlines())
    # For programs every character stays, as JSON escapes it.
    with serving(lambda order: answer(order, pem(KEY), requestId=SPOOF)) as (url, _):
        printed = home_at(tmp_path, url).run("create", "web_1", "--json").stdout
    assert json.loads(printed)["requestId"] == SPOOF
    assert "\u202e" not in printed


def test_a_name_in_an_answer_that_no_key_pair_has(tmp_path: Path) -> None:
    """It would become the comment that `ssh-add -l` prints as it is."""
    identity = pyrage.x25519.Identity.generate()
    _, _, content = answer({"recipients": [str(identity.to_public())], "keyName": SPOOF}, pem(KEY))
    home = home_at(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "identity").write_text(f"{identity}\n")
    done = home.run("open", "-", "-i", "identity", "--save", "web_1", stdin=content.decode(), status=2)
    assert "cannot be the name of a key pair" in done.stderr
    assert not (tmp_path / "web_1").exists()


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """It would carry the signature to whomever it names."""
    with serving(lambda order: answer(order, pem(KEY))) as (elsewhere, asked):
        reply = 307, {"Location": f"{elsewhere}/v1/key-pairs"}, b""
        with serving(lambda _order: reply) as (url, _):
            done = home_at(tmp_path, url).run("create", "web_1", status=6)
    assert "redirects elsewhere" in done.stderr
    assert asked == []


@pytest.mark.parametrize("status", [200, 404])
def test_a_page_of_another_server(tmp_path: Path, status: int) -> None:
    reply = status, {"Content-Type": "text/html"}, b"<html>Please sign in to the network</html>"
    with serving(lambda _order: reply) as (url, _):
        home = home_at(tmp_path, url)
        done = home.run("create", "web_1", "--timeout", "2", status=None)
    assert done.returncode in {6, 7}
    assert not (home.ssh / "web_1").exists()


def test_an_endless_answer(tmp_path: Path) -> None:
    """The client stops reading after a megabyte."""
    reply = 201, {"Content-Type": "application/json"}, b'{"keyName": "...'
    with serving(lambda _order: reply) as (url, asked):
        home_at(tmp_path, url).run("create", "web_1", "--timeout", "2", status=7)
    assert HEARD_OUT not in asked


@pytest.mark.interpreter
def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    certificate = certificate_for(tmp_path, "127.0.0.1")
    with serving(lambda order: answer(order, pem(KEY)), certificate) as (url, asked):
        home = home_at(tmp_path, url)
        done = home.run("create", "web_1", status=7)
        assert "Trying again" not in done.stderr
        assert "TLS certificate" in done.stderr
        assert "TLS certificate" in home.run("doctor", status=3).stdout
    assert asked == []
    assert home.pending() == []


LISTED: dict[str, Any] = {
    "keyId": "skey-00000000",
    "keyName": "web_1",
    "region": "ap-guangzhou",
    "caller": "demo",
    "publicKey": "ssh-rsa AAAA",
    "fingerprint": "SHA256:AAAA",
    "createdAt": "2026-11-26T00:00:00Z",
    "expiresAt": "2026-11-27T00:00:00Z",
    "expiresSoon": True,
    "instanceIds": ["ins-1"],
    "tags": {"team": "web"},
}
GRANT: dict[str, Any] = {
    "names": ["*"],
    "regions": ["*"],
    "projects": [0],
    "requiredTags": {},
    "optionalTags": {"team": "*"},
    "longestExpiry": "30d",
    "ownRecipients": True,
}
GRANTED = {"status": "ok", "caller": "demo", "grants": [GRANT], "actions": ["create"], "listRegions": []}
REFUSAL = {
    "type": "urn:keypair-function:malformed-request",
    "code": "malformed-request",
    "status": 422,
    "requestId": "request-1",
    "errors": [{"field": "keyName", "rule": "key-name", "advice": "Mend it"}],
}
PAGE = {"keyPairs": [LISTED], "next": None}
ANSWERS: dict[str, tuple[int, dict[str, Any], tuple[str, ...]]] = {
    "list": (200, PAGE, ("list", "--region", "ap-guangzhou")),
    "show": (200, PAGE, ("show", "web_1", "--region", "ap-guangzhou")),
    "import": (201, {"keyId": "skey-00000000", "region": "ap-guangzhou"}, ("import", "web_1", "key.pub")),
    "doctor": (200, GRANTED, ("doctor",)),
    "refusal": (422, REFUSAL, ("create", "web_1", "--timeout", "1")),
}
FORGED = "x\n✓ Key pair web_1 (skey-1) in ap-guangzhou"


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    members: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for name, member in members:
        yield (*path, name)
        yield from places(member, (*path, name))


def changed(value: Any, path: tuple[str | int, ...], into: object) -> Any:  # noqa: ANN401  # JSON
    if not path:
        return into
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], into)
    return copy


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_of_another_shape(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each member in turn is of another type, or a text that forges a line."""
    status, content, command = ANSWERS[kind]
    reply: dict[str, Any] = {}
    others: tuple[object, ...] = (7, None, {}, [], FORGED)
    with serving(lambda _: (status, {}, json.dumps(reply).encode())) as (url, _):
        # In this process, for there are hundreds; a traceback fails the test.
        for name, value in home_at(tmp_path, url).variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "key.pub").write_text(public_key(KEY))
        for path in places(content):
            for into in others:
                reply = changed(content, path, into)
                assert run(list(command)) in {0, 3, 6, 7, 8}, (path, into)
                shown = "".join(capsys.readouterr()).splitlines()
                assert not any(line.startswith("✓ Key pair") for line in shown), (path, into)


@pytest.mark.parametrize("into", [7, {}, [], FORGED], ids=["number", "object", "list", "line"])
@pytest.mark.parametrize(
    "name", ["keyId", "keyName", "region", "publicKey", "fingerprint", "expiresAt", "sealedPrivateKey"]
)
def test_a_new_key_pair_of_another_shape(tmp_path: Path, name: str, into: object) -> None:
    with serving(lambda order: answer(order, pem(KEY), **{name: into})) as (url, _):
        home = home_at(tmp_path, url)
        done = home.run("create", "web_1", status=9 if (name, into) == ("publicKey", FORGED) else 8)
    assert "✓" not in done.stderr
    assert not (home.ssh / "web_1").exists()
    assert len(home.pending()) == 1


def test_pages_without_end(tmp_path: Path) -> None:
    page = json.dumps({"keyPairs": [LISTED], "next": "web_1"}).encode()
    with serving(lambda _: (200, {}, page)) as (url, asked):
        done = home_at(tmp_path, url).run("list", "--region", "ap-guangzhou", status=8)
    assert "incomplete" in done.stderr
    assert len(asked) == 2
