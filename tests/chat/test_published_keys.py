"""SSH keys from where people publish them, over real TLS; and where the function does not go."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from handler.chat.published_keys import MAX_RESPONSE_BYTES, PublishedKeys, is_public
from handler.errors import KeyPairFunctionError, KeysNotFound, KeysUnavailable
from handler.order import RECIPIENTS_LIMIT
from tests.support.published_place import PUBLIC, Place, running_place
from tests.support.recipient_attacks import RSA_2048, ecdsa_line, ed25519_point, rsa_line, ssh_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKNx6lyOWWaOLlrz6GhGfzR+kSQD41Qtut/5aNpRfeZn"
CUT = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ alice@laptop"
RSA = rsa_line(65537, RSA_2048)
ECDSA = ecdsa_line()
HARDWARE = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with running_place(tmp_path / "tls") as running:
        yield running


def reason(place: Place, **given: str) -> str:
    with pytest.raises(KeyPairFunctionError) as refused:
        place.keys(**given)
    assert isinstance(refused.value, (KeysNotFound, KeysUnavailable))
    assert refused.value.__cause__ is None
    return refused.value.reason


def test_keys_that_can_be_sealed_to_are_taken(place: Place) -> None:
    place.publish(
        ECDSA, f"  {ED25519}  ", "", "# a comment", HARDWARE, RSA, ED25519, "ssh-dss AAAA", "<html>"
    )
    assert place.keys() == (ED25519, RSA)
    assert place.asked == [("localhost", 443)]
    assert place.dialled == [(PUBLIC, 443)]
    ((path, headers),) = place.requests
    assert path == "/alice.keys"
    assert headers["host"] == "localhost"
    assert headers.keys() == {"host", "accept", "accept-encoding", "connection", "user-agent"}


def test_no_more_than_an_order_may_have(place: Place) -> None:
    keys = [ssh_line(b"ssh-ed25519", ed25519_point()) for _ in range(RECIPIENTS_LIMIT + 5)]
    place.publish(*keys)
    assert place.keys() == tuple(keys[:RECIPIENTS_LIMIT])


def test_what_is_skipped_is_named(place: Place) -> None:
    """Keys of other sizes and types cost nothing but themselves; non-ASCII comments are dropped."""
    too_large = rsa_line(65537, 1 << 8191 | 1)
    place.publish(f"{ED25519} 张三 (gitlab.example.com)", too_large, ECDSA, HARDWARE, CUT, f"{ED25519} again")
    found = place.found()
    assert found.keys == (ED25519,)
    assert found.skipped == ("ssh-rsa", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256")
    pasted = Path(__file__).parents[1] / "support" / "pasted"
    for site, skipped in {
        "gitlab": (),
        "github": ("ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "ssh-rsa"),
    }.items():
        lines = (pasted / f"{site}-keys.txt").read_text(encoding="utf-8").splitlines()
        place.publish(*lines)
        found = place.found()
        assert set(found.skipped) == set(skipped)
        assert [key.split()[:2] for key in found.keys] == [
            line.split()[:2] for line in lines if line.split()[0] not in skipped
        ]
    place.publish(ECDSA, HARDWARE)
    found = place.found()
    assert (found.keys, found.skipped) == ((ECDSA,), ("sk-ssh-ed25519@openssh.com",))


def test_a_port_and_a_path_of_the_policy(place: Place) -> None:
    place.answers["/a/alice/keys?raw=1"] = (200, {}, ED25519.encode())
    assert place.keys(template="https://localhost:8443/a/{user}/keys?raw=1") == (ED25519,)
    assert place.asked == [("localhost", 8443)]
    assert place.requests[0][1]["host"] == "localhost:8443"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), "keys-none-usable"),
        ((CUT, HARDWARE), "keys-none-usable"),
        (("ssh-ed25519",), "keys-none-usable"),
    ],
)
def test_nothing_to_seal_to(place: Place, lines: tuple[str, ...], expected: str) -> None:
    place.publish(*lines)
    assert reason(place) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, "keys-user-unknown"),
        (410, "keys-user-unknown"),
        (500, "keys-status"),
        (403, "keys-status"),
        (204, "keys-status"),
    ],
)
def test_a_status_that_is_none_of_success(place: Place, status: int, expected: str) -> None:
    place.answers["/alice.keys"] = (status, {}, b"" if status == 204 else ED25519.encode())
    assert reason(place) == expected


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/bob.keys", "http://169.254.169.254/", "https://localhost/bob.keys"])
def test_no_redirect_is_followed(place: Place, status: int, location: str) -> None:
    place.publish(ED25519, user="bob")
    place.answers["/alice.keys"] = (status, {"Location": location}, ED25519.encode())
    assert reason(place) == "keys-status"
    assert [path for path, _ in place.requests] == ["/alice.keys"]


def test_an_answer_at_the_limit(place: Place) -> None:
    line = ED25519.encode() + b"\n"
    place.answers["/alice.keys"] = (200, {}, line + b"#" * (MAX_RESPONSE_BYTES - len(line)))
    assert place.keys() == (ED25519,)
    place.answers["/alice.keys"] = (200, {}, line + b"#" * (MAX_RESPONSE_BYTES - len(line) + 1))
    assert reason(place) == "keys-too-long"


def test_bytes_that_are_no_text(place: Place) -> None:
    place.answers["/alice.keys"] = (200, {}, b"\xff\xfe\n" + ED25519.encode())
    assert place.keys() == (ED25519,)


def test_a_place_that_the_policy_does_not_name(place: Place) -> None:
    with pytest.raises(KeysNotFound) as refused:
        PublishedKeys({"other": "https://localhost/{user}"}, place.resolve, place.dial).keys("place", "alice")
    assert refused.value.reason == "keys-place-unknown"
    assert place.asked == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.0.23", "169.254.169.254", "100.64.0.1", "198.18.0.1", "192.0.2.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1",
        "2600::1%eth0", "2600::1%1", "::ffff:8.8.8.8%eth0",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "2002:a00:1::",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "2001:db8::1",
        # Not all of these are in the tables of every Python.
        "192.0.0.1", "192.0.0.8", "192.0.0.192", "192.0.0.255", "192.88.99.1", "::ffff:192.0.0.192",
        "64:ff9b::c000:c0", "::7f00:1", "::808:808", "::ffff:0:7f00:1", "64:ff9b:1::7f00:1", "64:ff9b:1::1",
        "100::1", "100:0:0:1::1", "1fff:ffff::1", "2001::1", "2001:1::1", "2001:2::1", "2001:3::1",
        "2001:10::1", "2001:20::1", "2001:30::1", "2001:1ff:ffff::1", "2001:db8:ffff::1", "2002::1",
        # What Tencent Cloud uses inside.
        "9.0.0.1", "9.255.255.255", "11.0.0.1", "30.1.2.3", "100.127.255.254", "::ffff:9.1.1.1",
        "64:ff9b::b00:1",
        "2002:808:808::", "3fff::1", "3fff:fff:ffff::1", "4000::1", "5f00::1", "fe00::1", "fec0::1",
        "", "localhost", "127.1", "0x7f.0.0.1", "2130706433",
    ],
)  # fmt: skip
def test_no_address_inside_is_connected_to(place: Place, address: str) -> None:
    """Neither where it is the only one, nor where it comes beside a public one."""
    place.publish(ED25519)
    for addresses in ([address], [PUBLIC, address], [address, PUBLIC]):
        place.addresses = addresses
        assert reason(place) == "keys-address-refused"
    assert place.dialled == []
    assert place.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "12.0.0.1", "29.255.255.255", "31.0.0.1",
        PUBLIC, "8.8.8.8", "191.255.255.1", "192.0.1.1", "192.88.98.1", "2000::1", "2001:200::1",
        "2001:db7:ffff::1", "2001:db9::1", "2003::1", "2606:4700:4700::1111", "3fff:1000::1",
        "::ffff:8.8.8.8", "64:ff9b::808:808",
    ],
)  # fmt: skip
def test_an_address_of_the_public_internet(address: str) -> None:
    assert is_public(address)


def test_a_name_without_addresses(place: Place) -> None:
    place.addresses = []
    assert reason(place) == "keys-address-refused"


def test_the_certificate_has_to_be_the_hosts(place: Place) -> None:
    """Not that of the address, which this server's certificate names as well."""
    place.publish(ED25519)
    assert reason(place, template="https://keys.example.com/{user}.keys") == "keys-no-answer"
    assert place.requests == []


def test_the_certificate_has_to_be_one_of_an_authority(place: Place) -> None:
    place.publish(ED25519)
    with pytest.raises(KeysUnavailable) as refused:
        PublishedKeys({"p": "https://localhost/{user}.keys"}, place.resolve, place.dial).keys("p", "alice")
    assert refused.value.reason == "keys-no-answer"
    assert place.requests == []


def test_a_name_that_is_not_resolved(place: Place) -> None:
    def fails(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(KeysUnavailable) as refused:
        PublishedKeys({"p": "https://localhost/{user}.keys"}, fails, place.dial).keys("p", "alice")
    assert refused.value.reason == "keys-no-answer"


def test_a_place_that_does_not_answer_in_time(place: Place) -> None:
    place.seconds = 0.3
    place.stalled = threading.Event()
    assert reason(place) == "keys-no-answer"
    place.stalled.set()


def test_an_ipv6_address(place: Place) -> None:
    dialled: list[str] = []

    def dial(address: str, _port: int) -> tuple[str, int]:
        dialled.append(address)
        return "::1", 1

    place.addresses = ["2606:4700:4700::1111"]
    with pytest.raises(KeysUnavailable):
        PublishedKeys({"p": "https://localhost/{user}.keys"}, place.resolve, dial).keys("p", "alice")
    assert dialled == ["2606:4700:4700::1111"]


def test_the_machines_own_ways() -> None:
    places = PublishedKeys({"p": "https://localhost/{user}.keys"})
    assert places.dial(PUBLIC, 443) == (PUBLIC, 443)
    assert set(places.resolve("localhost", 443)) <= {"127.0.0.1", "::1"}
    with pytest.raises(KeysUnavailable) as refused:
        places.keys("p", "alice")
    assert refused.value.reason == "keys-address-refused"


def test_nothing_of_it_is_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.publish(ED25519)
    with caplog.at_level(logging.DEBUG):
        place.keys()
    assert caplog.text == ""


def test_no_proxy_and_no_netrc_comes_between(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login x password y\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    place.publish(ED25519)
    assert place.keys() == (ED25519,)
    assert "authorization" not in place.requests[0][1]
    assert requests.utils.get_netrc_auth("http://127.0.0.1/") == ("x", "y")
