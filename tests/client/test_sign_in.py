"""Each way to sign in, against a real function whose policy knows the issuer."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.client.conftest import Served, served
from tests.support.client_command import Home
from tests.support.function_under_test import base64url, fresh_name
from tests.support.token_issuer import jwk, token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KEY = ec.generate_private_key(ec.SECP256R1())
AUDIENCE = "keypair-function"


def claims(address: str, **more: object) -> dict[str, object]:
    return {"iss": address, "aud": AUDIENCE, "sub": "the job"} | more


class Issuer:
    """A CI system and an OpenID provider: tokens for jobs, a device flow, a browser flow with PKCE."""

    def __init__(self) -> None:
        self.address = ""
        self.key_id = "1"
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.challenges: dict[str, tuple[str, str]] = {}
        self.polls = 0
        self.life = 300
        self.gateway = 0
        """The status of a gateway that answers in the place of its token endpoint."""
        self.refusal = ""
        """The error with which the token endpoint refuses everybody."""
        self.page = ""
        """The address of the sign-in page, if it is another one."""

    def token(self, **more: object) -> str:
        now = int(time.time())
        stated = claims(self.address, **{"iat": now, "exp": now + self.life, **more})
        return token(KEY, stated, alg="ES256", kid=self.key_id)

    def answer(self, path: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any] | None]:
        self.asked.append((path, dict(form)))
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.address,
                "token_endpoint": f"{self.address}/token",
                "authorization_endpoint": self.page or f"{self.address}/authorize",
                "device_authorization_endpoint": f"{self.address}/device",
            }
        if path == "/job":  # of GitHub
            return 200, {"value": self.token(aud=form["audience"])}
        if path == "/device":
            return 200, {"device_code": "d", "user_code": "ABCD-EFGH", "interval": 0,
                         "verification_uri": f"{self.address}/activate"}  # fmt: skip
        if self.gateway:
            return self.gateway, None
        if self.refusal:
            return 400, {"error": self.refusal}
        if path != "/token" or form["client_id"] != AUDIENCE:
            return 401, {"error": "invalid_client"}
        return self._exchange(form)

    def _exchange(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        tokens = {"id_token": self.token(), "access_token": "opaque", "refresh_token": "again"}
        if form["grant_type"].endswith("device_code"):
            self.polls += 1
            return (200, tokens) if self.polls > 2 else (400, {"error": "authorization_pending"})
        if form["grant_type"] == "refresh_token":
            return (200, tokens) if form["refresh_token"] == "again" else (400, {"error": "invalid_grant"})
        challenge = base64url(hashlib.sha256(form["code_verifier"].encode()).digest())
        good = self.challenges.pop(form["code"], None) == (challenge, form["redirect_uri"])
        return (200, tokens) if good else (400, {"error": "invalid_grant"})

    def authorize(self, query: Mapping[str, str]) -> str:
        """Return where the browser is sent to, signed in."""
        assert query["code_challenge_method"] == "S256"
        self.challenges["the code"] = (query["code_challenge"], query["redirect_uri"])
        return f"{query['redirect_uri']}?{urlencode({'code': 'the code', 'state': query['state']})}"


@contextmanager
def running(issuer: Issuer) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", issuer.authorize(query))
                self.end_headers()
                return
            self._send(*issuer.answer(parts.path, query))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._send(*issuer.answer(urlsplit(self.path).path, form))

        def _send(self, status: int, content: dict[str, Any] | None) -> None:
            body = b"<h1>Bad Gateway</h1>" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    with running(issuer):
        yield issuer


@pytest.fixture(scope="module")
def trusting(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give a function whose policy knows the issuer."""
    key = jwk(KEY, kid=issuer.key_id)
    written = ", ".join(f'{name} = "{value}"' for name, value in key.items())
    policy = f"""
failed_rate = "9999/minute"
[issuers.ci]
issuer = "{issuer.address}"
audience = "{AUDIENCE}"
algorithms = ["ES256"]
jwks = {{ keys = [{{ {written} }}] }}
[[callers.job.jwt]]
issuer = "ci"
claims = {{ sub = "the job" }}
[[callers.job.grants]]
names = ["*"]
regions = ["ap-guangzhou"]
own_recipients = true
"""
    with served(tmp_path_factory.mktemp("trusting"), policy) as running_function:
        yield running_function


@pytest.fixture
def stranger(tmp_path: Path, trusting: Served) -> Home:
    """Give a user who has the address of the function and nothing else."""
    return Home(tmp_path, {"KP_URL": trusting.process.url})


def created(home: Home, **environment: str) -> None:
    name = fresh_name()
    home.run("create", name, environment=environment)
    assert (home.ssh / name).exists()


# ---------------------------------------------------------------- CI systems


def test_github_actions(stranger: Home, issuer: Issuer) -> None:
    created(
        stranger,
        GITHUB_ACTIONS="true",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN="secret of the job",
        ACTIONS_ID_TOKEN_REQUEST_URL=f"{issuer.address}/job?api-version=2",
    )
    assert issuer.asked[-1] == ("/job", {"api-version": "2", "audience": AUDIENCE})


def test_github_actions_without_the_permission(stranger: Home) -> None:
    done = stranger.run("create", "web_1", status=3, environment={"GITHUB_ACTIONS": "true"})
    assert "permissions: { id-token: write, contents: read }" in done.stderr
    assert stranger.pending() == []


def test_gitlab_ci(stranger: Home, issuer: Issuer) -> None:
    created(stranger, GITLAB_CI="true", KEYPAIR_FUNCTION_ID_TOKEN=issuer.token())


def test_gitlab_ci_without_the_token(stranger: Home) -> None:
    done = stranger.run("create", "web_1", status=3, environment={"GITLAB_CI": "true"})
    assert "id_tokens" in done.stderr
    assert "KEYPAIR_FUNCTION_ID_TOKEN" in done.stderr


@pytest.mark.parametrize(("system", "program"), [("BUILDKITE", "buildkite-agent"), ("CIRCLECI", "circleci")])
def test_buildkite_and_circleci(stranger: Home, issuer: Issuer, system: str, program: str) -> None:
    """Each has a program that prints a token."""
    programs = stranger.folder / "bin"
    programs.mkdir()
    (programs / program).write_text(f"#!/bin/sh\necho '{issuer.token()}'\n")
    (programs / program).chmod(0o755)
    path = f"{programs}:{stranger.variables['PATH']}"
    created(stranger, **{system: "true", "PATH": path})


# ---------------------------------------------------------------- a token, a command


def test_a_token_of_the_environment(stranger: Home, issuer: Issuer) -> None:
    created(stranger, KP_TOKEN=issuer.token())


def test_a_token_that_ran_out(stranger: Home, issuer: Issuer) -> None:
    now = int(time.time())
    old = issuer.token(iat=now - 900, exp=now - 600)
    done = stranger.run("create", "web_1", status=3, environment={"KP_TOKEN": old})
    assert "The token ran out at" in done.stderr


def test_a_token_for_somebody_else(stranger: Home, issuer: Issuer) -> None:
    done = stranger.run("create", "web_1", status=3, environment={"KP_TOKEN": issuer.token(aud="another")})
    assert "for the audience 'another'" in done.stderr


def test_a_token_command(stranger: Home, issuer: Issuer) -> None:
    (stranger.folder / "token").write_text(issuer.token())
    stranger.run("config", "set", "token-command", "cat token")
    created(stranger)
    (stranger.folder / "token").unlink()
    done = stranger.run("create", "web_1", status=3)
    assert "The token command failed (exit 1)" in done.stderr


# ---------------------------------------------------------------- people


def person(home: Home, issuer: Issuer, how: str) -> Home:
    for setting, value in (("sign-in", how), ("issuer", issuer.address), ("client-id", AUDIENCE)):
        home.run("config", "set", setting, value)
    return home


def test_on_another_device(stranger: Home, issuer: Issuer) -> None:
    home = person(stranger, issuer, "device")
    assert "keypair login" in home.run("create", "web_1", status=3).stderr
    issuer.polls = 0
    done = home.run("login")
    assert "ABCD-EFGH" in done.stderr
    assert "Signed in as the job" in done.stderr
    asked = len(issuer.asked)
    created(home)
    assert len(issuer.asked) == asked  # the stored token is used as it is
    secrets = home.state / "secrets.json"
    assert secrets.stat().st_mode & 0o777 == 0o600
    home.run("logout")
    assert secrets.read_text() == "{}"


@pytest.mark.parametrize("page", ["file://localhost/x.desktop", "vscode://localhost/x", "http://192.0.2.1/x"])
def test_only_a_web_page_is_opened(stranger: Home, issuer: Issuer, page: str) -> None:
    opened = stranger.folder / "opened"
    home = person(stranger, issuer, "browser")
    issuer.page = page
    try:
        done = home.run("login", environment={"BROWSER": f"touch {opened} %s"}, status=2)
    finally:
        issuer.page = ""
    assert f"{page} is not encrypted." in done.stderr
    assert not opened.exists()


def test_in_the_browser(stranger: Home, issuer: Issuer) -> None:
    """The 'browser' is a program that follows redirects, as $BROWSER names it."""
    browser = stranger.folder / "browser"
    browser.write_text(
        f"""#!{sys.executable}
import socket, sys, urllib.parse, urllib.request
query = urllib.parse.parse_qs(urllib.parse.urlsplit(sys.argv[1]).query)
# Browsers open connections in advance, and others may never end their request.
idle = socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(query["redirect_uri"][0]).port))
idle.send(b"GET /")
# First what another web page could make the browser do: it has not seen the state.
urllib.request.urlopen(query["redirect_uri"][0] + "?code=of+an+attacker&state=guessed").read()
urllib.request.urlopen(sys.argv[1]).read()
"""
    )
    browser.chmod(0o755)
    home = person(stranger, issuer, "browser")
    # Left to itself: the browser program waits for the page that the command serves.
    process = subprocess.Popen(
        home.command("login"), env=home.variables | {"BROWSER": f"{browser} %s &"}, cwd=home.folder,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Signed in as the job" in said
    created(home)


def test_a_token_is_renewed(stranger: Home, issuer: Issuer) -> None:
    home = person(stranger, issuer, "device")
    issuer.polls, issuer.life = 9, 30
    try:
        home.run("login")
    finally:
        issuer.life = 300
    created(home)
    assert issuer.asked[-1][1]["grant_type"] == "refresh_token"


@pytest.mark.parametrize("status", [502, 200, 403])
def test_a_gateway_in_the_issuers_place_does_not_end_the_sign_in(
    stranger: Home, issuer: Issuer, status: int
) -> None:
    home = person(stranger, issuer, "device")
    issuer.polls, issuer.life = 9, 30
    try:
        home.run("login")
        kept = (home.state / "secrets.json").read_text()
        issuer.gateway = status
        done = home.run("create", fresh_name(), status=3)
    finally:
        issuer.life, issuer.gateway = 300, 0
    assert f"does not answer ({status})" in done.stderr
    assert (home.state / "secrets.json").read_text() == kept
    created(home)


@pytest.mark.parametrize(("refusal", "kept"), [("invalid_grant", False), ("temporarily_unavailable", True)])
def test_only_a_token_of_no_use_is_forgotten(
    stranger: Home,
    issuer: Issuer,
    refusal: str,
    kept: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    home = person(stranger, issuer, "device")
    issuer.polls, issuer.life = 9, 30
    try:
        home.run("login")
        issuer.refusal = refusal
        done = home.run("create", fresh_name(), status=3)
    finally:
        issuer.life, issuer.refusal = 300, ""
    assert "keypair login" in done.stderr
    assert ((home.state / "secrets.json").read_text() != "{}") is kept


# ---------------------------------------------------------------- secrets


SECRET = base64url(bytes(32))


def test_a_secret_is_asked_for_and_stored(tmp_path: Path, service: Served) -> None:
    secret = service.process.info["secretKey"]
    home = Home(tmp_path)
    home.run("config", "set", "url", service.process.url)
    home.run("config", "set", "secret-id", "demo")
    done = home.run("login", "--stdin", stdin=secret + "\n")
    assert "secrets.json" in done.stderr
    created(home)
    shown = home.run("config").stdout
    assert "secret-id = demo" in shown
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "secrets.json":
            assert secret not in file.read_text(errors="replace"), file
    home.run("logout")
    assert "Not signed in" in home.run("create", "web_9", status=3).stderr


KEYRING = """
import json, pathlib
from keyring.backend import KeyringBackend


class Keyring(KeyringBackend):
    priority = 5
    file = pathlib.Path.home() / "the-keyring"

    def _all(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def get_password(self, service, username):
        return self._all().get(f"{service}/{username}")

    def set_password(self, service, username, password):
        self.file.write_text(json.dumps({**self._all(), f"{service}/{username}": password}))

    def delete_password(self, service, username):
        kept = self._all()
        del kept[f"{service}/{username}"]
        self.file.write_text(json.dumps(kept))
"""


def test_the_keyring_is_used_where_there_is_one(tmp_path: Path, service: Served) -> None:
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "our_keyring.py").write_text(KEYRING)
    variables = Home(tmp_path).variables
    home = Home(tmp_path, {
        "KP_URL": service.process.url, "KP_KEYRING": "on", "PYTHON_KEYRING_BACKEND": "our_keyring.Keyring",
        "PYTHONPATH": f"{variables['PYTHONPATH']}:{tmp_path / 'backend'}",
    })  # fmt: skip
    home.run("config", "set", "secret-id", "demo")
    done = home.run("login", "--stdin", stdin=service.process.info["secretKey"])
    assert "keyring" in done.stderr
    assert len(json.loads((tmp_path / "the-keyring").read_text())) == 1
    assert not (home.state / "secrets.json").exists()
    created(home)
    home.run("logout")
    assert (tmp_path / "the-keyring").read_text() == "{}"


def test_logout_forgets_what_either_place_keeps(tmp_path: Path, service: Served) -> None:
    """The secret went into the file, and a keyring came later; and the other way round."""
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "our_keyring.py").write_text(KEYRING)
    home = Home(tmp_path, {
        "KP_URL": service.process.url, "PYTHON_KEYRING_BACKEND": "our_keyring.Keyring",
        "PYTHONPATH": f"{Home(tmp_path).variables['PYTHONPATH']}:{tmp_path / 'backend'}",
    })  # fmt: skip
    home.run("config", "set", "secret-id", "demo")
    for place in ("off", "on"):
        home.run("login", "--stdin", stdin=SECRET, environment={"KP_KEYRING": place})
    home.run("logout", environment={"KP_KEYRING": "off"})
    assert (tmp_path / "the-keyring").read_text() == (home.state / "secrets.json").read_text() == "{}"


def test_logout_without_anything_stored(tmp_path: Path, service: Served) -> None:
    home = Home(tmp_path, {"KP_URL": service.process.url, "KP_SECRET_ID": "demo"})
    done = home.run("logout")
    assert done.stderr == f"Nothing is stored for this profile at {service.process.url}.\n"
    assert "Leave it out" in home.run("--local", "logout", status=2).stderr


def test_a_profile_that_moves_says_what_it_leaves_behind(tmp_path: Path, service: Served) -> None:
    home = Home(tmp_path)
    home.run("config", "set", "url", service.process.url)
    home.run("config", "set", "secret-id", "demo")
    home.run("login", "--stdin", stdin=SECRET)
    done = home.run("config", "set", "url", "https://keys.example.com")
    command = f"KP_URL={service.process.url} keypair --profile default logout"
    assert done.stderr.endswith(f"To forget it: {command}\n")
    assert home.run("config", "set", "region", "ap-guangzhou").stderr == ""
    home.run("--profile", "default", "logout", environment={"KP_URL": service.process.url})
    assert (home.state / "secrets.json").read_text() == "{}"


def test_what_stays_is_quoted_and_no_reason_to_fail(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for setting, value in (("url", "https://keys.example.com"), ("secret-id", "a$(id)")):
        home.run("config", "set", setting, value)
    home.run("login", "--stdin", stdin=SECRET)
    done = home.run("config", "set", "secret-id", "b")
    assert "KP_SECRET_ID='a$(id)' keypair --profile default logout" in done.stderr
    (home.state / "secrets.json").write_text("damaged")
    assert home.run("config", "set", "secret-id", "c").stderr == ""
    assert "secret-id = c" in home.run("config").stdout


def test_logout_from_a_locked_keyring_is_no_success(tmp_path: Path, service: Served) -> None:
    (tmp_path / "backend").mkdir()
    locked = KEYRING.replace(
        "        return self._all().get",
        "        from keyring.errors import KeyringLocked\n        raise KeyringLocked('locked')\n"
        "        return self._all().get",
    )
    (tmp_path / "backend" / "our_keyring.py").write_text(locked)
    home = Home(tmp_path, {
        "KP_URL": service.process.url, "KP_KEYRING": "on", "PYTHON_KEYRING_BACKEND": "our_keyring.Keyring",
        "PYTHONPATH": f"{Home(tmp_path).variables['PYTHONPATH']}:{tmp_path / 'backend'}",
    })  # fmt: skip
    home.run("config", "set", "secret-id", "demo")
    done = home.run("logout", status=10)
    assert "what it keeps is still there" in done.stderr
    assert "Forgotten" not in done.stderr


def test_no_secret_on_the_command_line(tmp_path: Path) -> None:
    home = Home(tmp_path, {"KP_URL": "https://keys.example.com"})
    done = home.run("config", "set", "secret-key", SECRET, status=2)
    assert "keypair login" in done.stderr
    assert SECRET not in done.stderr
    assert not (tmp_path / ".config").exists()


# ---------------------------------------------------------------- profiles


def test_weakest_first_the_file_then_the_environment_then_flags(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.run("config", "set", "url", "http://127.0.0.1:1")
    home.run("config", "set", "secret-id", "demo")
    known = {"KP_SECRET_KEY": SECRET}
    assert "127.0.0.1:1," in home.run("doctor", status=3, environment=known).stdout
    known["KP_URL"] = "http://127.0.0.1:2"
    assert "127.0.0.1:2," in home.run("doctor", status=3, environment=known).stdout
    flagged = home.run("--url", "http://127.0.0.1:3", "doctor", status=3, environment=known)
    assert "127.0.0.1:3," in flagged.stdout


def test_several_profiles(tmp_path: Path) -> None:
    home = Home(tmp_path)
    file = tmp_path / ".config" / "keypair" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('# mine\n[profiles.work]\nurl = "https://keys.example.com" # do not change\n')
    home.run("--profile", "test", "config", "set", "url", "https://test.example.com")
    home.run("config", "use", "work")
    assert "* work" in home.run("config").stdout
    assert "  test" in home.run("config").stdout
    text = file.read_text()
    assert "# mine\n" in text
    assert "# do not change" in text
    assert "work, https://keys.example.com" in home.run("doctor", status=3).stdout
