"""`keypair create` killed at any moment, and over a bad network: nothing is lost, nothing is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.conftest import POLICY, Served, served
from tests.support.chaos_proxy import running_chaos_proxy
from tests.support.client_command import Home, credentials, listed, needs, public_half, running_agent
from tests.support.function_under_test import fresh_name
from tests.support.token_issuer import free_port
from tests.support.untrusted_function import KEY, Reply, answer, certificate_for, home_at, pem, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = int(os.environ.get("KEYPAIR_TEST_SEED") or random.SystemRandom().randrange(1 << 32))


def made(service: Served, name: str) -> list[str]:
    """Return the public keys of the key pairs with this name."""
    return [
        " ".join(pair["PublicKey"].split()[:2])
        for pair in service.cloud.key_pairs()
        if pair["KeyName"] == name
    ]


def was_done(home: Home, name: str) -> bool:
    """Tell whether the key was saved and the result shown, so that nothing is left to go on with."""
    return (home.ssh / name).exists() and not any(file.endswith(".json") for file in home.pending())


def kill_after(home: Home, seconds: float, *arguments: str) -> bool:
    """Run a command and kill it; tell whether it was still running."""
    process = subprocess.Popen(
        home.command(*arguments), env=home.variables, cwd=home.folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


@pytest.mark.parametrize("times", [6, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_killed_at_random_moments(home: Home, service: Served, times: int) -> None:
    """The delays are spread over the time that an undisturbed run takes, the start of Python left out."""
    print(f"KEYPAIR_TEST_SEED={SEED}")  # noqa: T201  # pytest shows it with a failure
    chance = random.Random(SEED)  # noqa: S311  # to be repeated, not to be secret
    start = time.monotonic()
    home.run("--version")
    idle = time.monotonic() - start
    home.run("create", fresh_name())
    whole = time.monotonic() - start - idle
    killed = names = 0
    while killed < times:
        name, alive = fresh_name(), True
        names += 1
        while alive and chance.random() < 0.8:  # some are killed more than once
            alive = kill_after(home, idle * 0.5 + chance.random() * whole, "create", name)
            killed += alive
        # What was done and said is not done again.
        done = was_done(home, name)
        home.run("create", name, status=5 if done else 0)
        assert made(service, name) == [public_half(home.ssh / name)], name
        assert home.pending() == [], name
    assert not [path.name for path in home.ssh.iterdir() if "partial" in path.name]
    print(f"{killed} kills, {names} key pairs")  # noqa: T201  # as above


def run_until(home: Home, call: str, number: int, name: str) -> int:
    """Run `keypair create`, killed at the given system call; return its status, negative where it was."""
    trace = ["strace", "-f", "-o", str(home.folder / "trace"), "-e", f"trace={call}",
             "-e", f"inject={call}:signal=KILL:when={number}"]  # fmt: skip
    return subprocess.run(
        [*trace, *home.command("create", name)], env=home.variables, cwd=home.folder,
        capture_output=True, check=False,
    ).returncode  # fmt: skip


MOMENTS = {
    "before it connects": ("connect", 1),
    "when the order has left": ("recvfrom", 1),
    "when the answer is written down": ("rename", 2),
    "when the key gets its name": ("link", 1),
    "when the request is forgotten": ("unlink", 9),
}


@pytest.mark.parametrize("moment", MOMENTS)
@needs("strace")
def test_killed_at_the_moments_that_matter(home: Home, service: Served, moment: str) -> None:
    name = fresh_name()
    assert run_until(home, *MOMENTS[moment], name) != 0
    home.run("create", name)
    assert made(service, name) == [public_half(home.ssh / name)]
    assert home.pending() == []
    assert [path.name for path in home.ssh.iterdir()] == [name]


@needs("strace")
def test_killed_with_the_answer_written_down_and_then_offline(tmp_path: Path) -> None:
    with serving(lambda order: answer(order, pem(KEY))) as (url, _):
        home = home_at(tmp_path, url)
        assert run_until(home, "link", 1, "web_1") != 0
    home.run("create", "web_1")
    assert (home.ssh / "web_1").read_bytes() == pem(KEY)


@needs("strace")
def test_a_kept_answer_is_not_handed_out_after_its_key_pair_was_deleted(home: Home, service: Served) -> None:
    name = fresh_name()
    assert run_until(home, "link", 1, name) != 0
    assert len(home.pending()) >= 1
    home.run("delete", name, "--yes")
    assert home.pending() == []
    home.run("create", name)
    assert made(service, name) == [public_half(home.ssh / name)]


@pytest.mark.exhaustive
@needs("strace")
def test_killed_at_every_system_call_that_leaves_a_trace(home: Home, service: Served) -> None:
    """Once a run: at its Nth connect, send, receive, write, fsync, link, rename or unlink."""
    calls = ("connect", "sendto", "recvfrom", "fsync", "rename", "link", "unlink", "write")
    for call in calls:
        for number in range(1, 40):
            name = fresh_name()
            finished = run_until(home, call, number, name) == 0
            done = was_done(home, name)
            home.run("create", name, status=5 if done else 0)
            assert made(service, name) == [public_half(home.ssh / name)], (call, number)
            assert home.pending() == [], (call, number)
            if finished:
                break
    assert not [path.name for path in home.ssh.iterdir() if "partial" in path.name]


def test_killed_while_the_agent_gets_the_key(home: Home, service: Served) -> None:
    """In agent mode the answer is in no file; the same request brings it again."""
    with running_agent(home.folder) as agent:
        name = fresh_name()
        start = time.monotonic()
        home.run("create", fresh_name(), "--agent", environment=agent)
        whole = time.monotonic() - start
        busy = Home(home.folder, {**home.environment, **agent})
        for part in (0.5, 0.7, 0.9):
            kill_after(busy, whole * part, "create", name, "--agent")
        if name not in listed(agent):
            busy.run("create", name, "--agent")
        assert name in listed(agent)
        assert len(made(service, name)) == 1
        assert not [
            path for path in home.folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
        ]


def test_interrupted_while_it_waits(tmp_path: Path) -> None:
    """Ctrl-C ends the wait, and says that the same command goes on."""
    busy = b'{"type": "urn:keypair-function:cloud-busy", "code": "cloud-busy", "status": 503}'
    headers = {"Content-Type": "application/problem+json", "Retry-After": "60"}
    with serving(lambda _order: (503, headers, busy)) as (url, asked):
        home = home_at(tmp_path, url)
        # A shell that starts the tests in the background lets them, and what they start, ignore Ctrl-C.
        command = ["env", "--default-signal=INT", *home.command("create", "web_1")]
        with subprocess.Popen(command, env=home.variables, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert "The cloud is busy. Trying again in 60 s" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
        assert process.returncode == 130
        assert "Run the same command again" in said
        assert len(home.pending()) == 1
    assert asked == ["/v1/key-pairs"]
    with serving(lambda order: answer(order, pem(KEY))) as (url, _):
        # Another address is another function, with requests of its own.
        home_at(tmp_path, url).run("create", "web_2")
    assert len(home.pending()) == 1


# ---------------------------------------------------------------- a bad network, a busy cloud


@pytest.fixture(scope="module")
def bad_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """Give a function, and the address of a proxy before it that loses, cuts and repeats."""
    port = free_port()
    print(f"KEYPAIR_TEST_SEED={SEED}")  # noqa: T201  # pytest shows it with a failure
    with running_chaos_proxy(f"http://127.0.0.1:{port}", seed=SEED, late=1) as proxy:
        folder = tmp_path_factory.mktemp("bad-network")
        with served(folder, POLICY, proxy.url.removeprefix("http://"), port=port) as running:
            yield running, proxy.url


def test_a_bad_network(bad_network: tuple[Served, str], tmp_path: Path) -> None:
    service, url = bad_network
    home = Home(tmp_path, {**credentials(service.process), "KP_URL": url})
    for _ in range(15):
        name = fresh_name()
        home.run("create", name)
        assert made(service, name) == [public_half(home.ssh / name)]
        assert home.pending() == []


HTML = {"Content-Type": "text/html"}
# The status, and whether it is worth a second attempt of the same command.
GATEWAY: dict[str, tuple[Reply, bool]] = {
    "520 of a CDN": ((520, HTML, b"<html>"), True),
    "408 of a balancer": ((408, HTML, b"<html>"), True),
    "404 of a gateway": ((404, HTML, b"<html>"), False),
    "a redirect to a sign-in": ((302, {"Location": "https://sign-in.example.com"}, b""), False),
    "401 of a proxy": ((401, HTML, b"<html>"), False),
    "an error with a code of its own": (
        (403, {"Content-Type": "application/problem+json"}, b'{"code": "blocked", "status": 403}'), False,
    ),
    "200 with JSON": ((200, {"Content-Type": "application/json"}, b'{"status": "ok"}'), False),
}  # fmt: skip


@pytest.mark.parametrize("gateway", GATEWAY)
def test_an_answer_that_is_not_the_functions_loses_nothing(tmp_path: Path, gateway: str) -> None:
    """A gateway says something definite, but the function had the request: it may have made the key pair."""
    reply, again = GATEWAY[gateway]
    orders: list[dict[str, Any]] = []

    def replied(order: dict[str, Any]) -> Reply:
        orders.append(order)
        return reply if len(orders) == 1 else answer(order, pem(KEY))

    with serving(replied) as (url, _):
        home = home_at(tmp_path, url)
        if not again:
            done = home.run("create", "web_1", status=6)
            assert "the request is kept" in done.stderr
        home.run("create", "web_1")
    assert orders == [orders[0]] * 2  # the recipient as well: only this identity opens the first answer
    assert (home.ssh / "web_1").read_bytes() == pem(KEY)


def test_a_tls_record_that_is_damaged_on_its_way(tmp_path: Path) -> None:
    """The function made the key pair; that the answer fails its check does not undo that."""
    orders: list[dict[str, Any]] = []

    def replied(order: dict[str, Any]) -> Reply:
        orders.append(order)
        # A record of application data that nobody can have sealed with the keys of this connection.
        return (0, {}, b"\x17\x03\x03\0\x40" + bytes(64)) if len(orders) == 1 else answer(order, pem(KEY))

    # Another loopback address: there the environment's certificates count.
    certificate = certificate_for(tmp_path, "127.0.0.2")
    with serving(replied, certificate, "127.0.0.2") as (url, _):
        home = home_at(tmp_path, url)
        home.run("create", "web_1", environment={"REQUESTS_CA_BUNDLE": str(certificate)})
    assert orders == [orders[0]] * 2
    assert (home.ssh / "web_1").read_bytes() == pem(KEY)


FAULTS = [
    [{"kind": "cut", "after": "effect"}],
    [{"kind": "http-status", "status": 502, "after": "before"}],
]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: str(faults[0]["kind"]))
def test_a_cloud_that_fails_for_a_while(home: Home, service: Served, faults: list[dict[str, object]]) -> None:
    name = fresh_name()
    service.cloud.add_faults(*faults)
    try:
        done = home.run("create", name)
    finally:
        service.cloud.control("DELETE", "/faults")
    assert made(service, name) == [public_half(home.ssh / name)]
    assert done.stdout == f"ssh -i ~/.ssh/{name} root@HOST\n"


def test_retry_after_that_is_longer_than_the_time_left(tmp_path: Path, service: Served) -> None:
    """The second request of this caller is one too many today; it is kept, and goes on tomorrow."""
    home = Home(tmp_path, credentials(service.process, "slow"))
    home.run("create", fresh_name())
    name = fresh_name()
    done = home.run("create", name, "--timeout", "5", status=7)
    assert "Too many requests" in done.stderr
    assert "The function asks to wait" in done.stderr
    assert "nothing is lost" in done.stderr
    assert len(home.pending()) == 1


def test_other_options_do_not_change_an_unfinished_request(tmp_path: Path, service: Served) -> None:
    home = Home(tmp_path, credentials(service.process, "slower"))
    home.run("create", fresh_name())
    name = fresh_name()
    home.run("create", name, status=7)
    refused = home.run("create", name, "--expires", "12h", status=2)
    assert "with other options" in refused.stderr
    assert "--start-over" in refused.stderr
    [kept] = (home.state / "pending").glob("*.json")
    before = json.loads(kept.read_text())
    home.run("create", name, "--expires", "12h", "--start-over", status=7)
    after = json.loads(kept.read_text())
    assert "expiresIn" in json.loads(after["body"])
    assert before["idempotency_key"] != after["idempotency_key"]
    assert before["identity"] != after["identity"]


def test_two_at_once_make_one_key_pair(home: Home, service: Served) -> None:
    name = fresh_name()
    both = [
        subprocess.Popen(home.command("create", name), env=home.variables, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]  # fmt: skip
    statuses = sorted(process.wait(timeout=60) for process in both)
    assert statuses in ([0, 5], [0, 7])
    assert made(service, name) == [public_half(home.ssh / name)]
    assert home.pending() == []
