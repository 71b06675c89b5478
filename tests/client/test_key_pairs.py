"""`keypair list`, `show`, `delete` and `import`, against a real function."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.client.conftest import key_pairs
from tests.support.client_command import Home, credentials, needs
from tests.support.function_under_test import fresh_name
from tests.support.untrusted_function import Reply, home_at, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.client.conftest import Served


@pytest.fixture
def made(home: Home) -> str:
    name = fresh_name()
    home.run("create", name, "--expires", "12h", "--tag", "team=web")
    return name


def key_id(service: Served, name: str) -> str:
    return str(key_pairs(service)[name]["KeyId"])


def test_a_list_for_people_and_for_programs(home: Home, service: Served, made: str) -> None:
    done = home.run("list", made)
    heading, line = done.stdout.splitlines()
    assert heading.split() == ["NAME", "REGION", "ID", "CREATED", "EXPIRES", "USED", "BY"]
    assert line.split()[:3] == [made, "ap-guangzhou", key_id(service, made)]
    assert line.endswith("(in 12 h)  -")
    assert f"End within seven days: {made}" in done.stderr
    (pair,) = json.loads(home.run("list", f"{made[:-1]}?", "--json").stdout)
    assert (pair["keyName"], pair["tags"], pair["expiresSoon"]) == (made, {"team": "web"}, True)
    assert "sealedPrivateKey" not in pair
    assert home.run("list", made, "--ends-within", "11h").stdout == ""
    assert home.run("list", made, "--ends-within", "13h").stdout == done.stdout
    assert home.run("list", "nothing_*").stderr == "No key pairs found.\n"


def test_one_key_pair_by_name_or_id(home: Home, service: Served, made: str) -> None:
    shown = home.run("show", made).stdout
    assert shown == home.run("show", key_id(service, made)).stdout
    assert "Tags         team=web" in shown
    assert f"Caller       {home.environment['KP_SECRET_ID']}" in shown
    assert json.loads(home.run("show", made, "--json").stdout)["keyId"] == key_id(service, made)
    assert "keypair list" in home.run("show", "nothing_1", status=6).stderr
    assert "For example: web_1" in home.run("show", "web-1", status=2).stderr


def test_what_is_deleted_is_gone_after_a_question(home: Home, service: Served, made: str) -> None:
    asked = home.run("delete", made, status=2)
    assert "Add --yes" in asked.stderr
    assert made in key_pairs(service)
    identity = key_id(service, made)
    config = home.folder / ".ssh" / "config.d" / "keypair"
    config.parent.mkdir(parents=True)
    config.write_text(f"Host {made}\n    HostName 203.0.113.7\n")
    done = home.run("delete", made, "--yes")
    assert done.stdout == f"Deleted {made} ({identity})\n"
    # Servers may still trust the key, so what is on this machine is named and left alone.
    assert f"~/.ssh/{made} is still here." in done.stderr
    assert f"~/.ssh/config.d/keypair still has a block for the host {made}." in done.stderr
    assert (home.folder / ".ssh" / made).exists()
    assert made not in key_pairs(service)
    assert f"no key pair {made}" in home.run("delete", made, "--yes", status=6).stderr
    assert "Give names, or --caller" in home.run("delete", status=2).stderr


def test_others_have_nothing_to_do_with_it(home: Home, service: Served, made: str) -> None:
    other = Home(home.folder, credentials(service.process, "lister"))
    assert other.run("list").stderr == "No key pairs found.\n"
    assert f"no key pair {made}" in other.run("show", made, status=6).stderr
    assert "no key pair skey-" in other.run("delete", key_id(service, made), "--yes", status=6).stderr
    narrow = Home(home.folder, credentials(service.process, "narrow"))
    assert "You are narrow. You may: create." in narrow.run("list", status=4).stderr


def test_an_operator_takes_back_what_a_caller_got(home: Home, service: Served) -> None:
    name = fresh_name()
    leaver = Home(home.folder, credentials(service.process, "leaver"))
    leaver.run("create", name)
    operator = Home(home.folder, credentials(service.process, "oncall"))
    assert name in operator.run("list", "--caller", "leaver").stdout
    assert operator.run("delete", "--caller", "leaver", "--yes").stdout.startswith(f"Deleted {name}")
    assert name not in key_pairs(service)
    none = "No key pairs found.\nWithout a grant that reaches leaver, none is shown.\n"
    assert operator.run("delete", "--caller", "leaver", "--yes").stderr == none
    # Others may not see them, which must not pass for there being none.
    assert home.run("list", "--caller", "leaver").stderr == none


@needs("faketime")
def test_a_key_pair_that_has_expired(home: Home) -> None:
    name = fresh_name()
    home.run("create", name, "--expires", "1m")
    assert home.run("list", name).stdout.endswith("(within an hour)  -\n")
    done = subprocess.run(
        ["faketime", "-f", "+2m", *home.command("list", name)],
        env=home.variables, cwd=home.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.endswith("(over)  -\n")
    assert done.stderr == f"Expired, and removed soon: {name}\n"


def test_what_is_named_twice_is_deleted_once(home: Home, made: str) -> None:
    done = home.run("delete", made, made, "--yes")
    assert done.stdout.count("Deleted") == 1


def test_without_the_grants_nothing_is_deleted(tmp_path: Path) -> None:
    """They say in which regions to look: with fewer regions, `--caller` would miss key pairs."""
    page = json.dumps({"keyPairs": [], "next": None}).encode()
    with serving(lambda body: (400, {}, b"") if body == {} else (200, {}, page)) as (url, paths):
        command = ("delete", "--caller", "leaver", "--yes")
        done = home_at(tmp_path, url).run(*command, status=6)
    assert "No key pairs found" not in done.stderr
    assert paths == ["/v1/grants"]


def test_a_refusal_is_explained_once(tmp_path: Path) -> None:
    """A function that answers the question for the grants with the same refusal."""
    refusal = {
        "type": "urn:keypair-function:not-granted",
        "code": "not-granted",
        "title": "No.",
        "status": 403,
    }
    with serving(lambda _: (403, {}, json.dumps(refusal).encode())) as (url, paths):
        done = home_at(tmp_path, url).run("list", status=4)
    assert "Ask the function's operator what you may have." in done.stderr
    assert paths == ["/v1/grants", "/v1/grants"]


def test_where_nothing_can_be_kept_all_are_deleted(home: Home, service: Served, made: str) -> None:
    other = fresh_name()
    home.run("create", other)
    (home.folder / "state" / "keypair").mkdir(parents=True)
    (home.folder / "state" / "keypair" / "pending").write_text("a file where a folder should be")
    home.run("delete", made, other, "--yes", environment={"XDG_STATE_HOME": str(home.folder / "state")})
    assert {made, other} & set(key_pairs(service)) == set()


def test_the_name_of_a_deleted_key_pair_is_no_path(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    pair: dict[str, object] = {
        "keyId": "skey-1", "keyName": str(victim / "x"), "region": "ap-guangzhou", "caller": "demo",
        "publicKey": None, "fingerprint": None, "createdAt": None, "expiresAt": None, "expiresSoon": False,
        "instanceIds": [], "tags": {},
    }  # fmt: skip
    grants = {"caller": "demo", "grants": [], "listRegions": ["ap-guangzhou"]}
    page = {"keyPairs": [pair], "next": None}
    replies: Iterator[Reply] = iter(
        [(200, {}, json.dumps(grants).encode()), (200, {}, json.dumps(page).encode()), (204, {}, b"")]
    )
    with serving(lambda _: next(replies)) as (url, _):
        home = home_at(tmp_path, url)
        (home.state / "pending").mkdir(parents=True)
        place = hashlib.sha256(url.encode()).hexdigest()[:12]
        (victim / f".x.{place}.json.keypair-partial").write_text("precious")
        home.run("delete", "skey-1", "--yes")
    assert [file.name for file in victim.iterdir()] == [f".x.{place}.json.keypair-partial"]


def test_a_key_in_use_stays_and_the_others_go(home: Home, service: Served, made: str) -> None:
    bound = fresh_name()
    home.run("create", bound)
    service.cloud.control("POST", f"/key-pairs/{key_id(service, bound)}/bind")
    done = home.run("delete", bound, made, "--yes", status=6)
    assert f"Deleted {made}" in done.stdout
    assert f"{bound}: A server uses the key pair." in done.stderr
    assert "ins-emulated" in home.run("show", bound).stdout


def test_a_key_of_ones_own_is_imported(home: Home, service: Served, tmp_path: Path) -> None:
    file, name = tmp_path / "own", fresh_name()
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", file], check=True)
    public = f"{file}.pub"
    first = home.run("import", name, public, "--expires", "30d")
    assert first.stdout == f"{key_id(service, name)}\n"
    # Typed again, it is the same order.
    assert home.run("import", name, public, "--expires", "30d").stdout == first.stdout
    assert "has this public key already" in home.run("import", fresh_name(), public, status=5).stderr
    assert "private key" in home.run("import", fresh_name(), file, status=2).stderr
    own, another = fresh_name(), tmp_path / "another"
    home.run("create", own)
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", another], check=True)
    taken = home.run("import", own, f"{another}.pub", status=5).stderr
    assert f"A key pair named {own} exists" in taken
    assert "keypair import " in taken
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    refused = home.run("import", fresh_name(), f"{other}.pub", status=6).stderr
    assert "FILE: only an ssh-rsa public key line can be imported" in refused


def test_whoever_says_no_keeps_it(home: Home, service: Served, made: str) -> None:
    """`script` gives the command a terminal (util-linux)."""
    typed = " ".join(home.command("delete", made))
    done = subprocess.run(
        ["script", "-qec", typed, "/dev/null"],
        env=home.variables,
        cwd=home.folder,
        input="n\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Nothing was deleted." in done.stdout
    assert done.returncode == 0
    assert made in key_pairs(service)
