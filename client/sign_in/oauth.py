"""Signing in as a person: in this machine's browser (RFC 8252, PKCE) or on another device (RFC 8628).

The two flows are a few form posts. The OAuth libraries bring neither the loopback listener nor the polling,
which are most of this module.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import queue
import secrets
import threading
import time
import webbrowser
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from client.connection import NoAnswer, exchange
from client.errors import SignInFailed, UsageProblem
from client.language import tr
from client.secret_store import open_store
from client.sign_in.bearer import unverified_claims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.console import Console
    from client.profiles import Profile

_SECONDS = 15.0
_BROWSER_SECONDS = 300
_MARGIN = 60
"""Seconds that a stored token has to be good for, so that it does not run out on its way."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DONE = """<!doctype html><meta charset="utf-8"><title>keypair</title>
<p>You are signed in. Close this window and go back to the terminal.
<p lang="zh">登录完成。请关闭此窗口，回到终端。"""


class OAuthTokens:
    """Tokens of an earlier `keypair login`, renewed with their refresh token."""

    def __init__(self, profile: Profile, console: Console) -> None:
        self._profile = profile
        self._console = console
        self._store = open_store()

    def token(self) -> str:
        """Return a stored or renewed token. Raises SignInFailed where there is none."""
        stored = self._stored()
        token = stored.get("token", "")
        if unverified_claims(token).get("exp", 0) > time.time() + _MARGIN:
            return token
        if stored.get("refresh"):
            return self._refreshed(stored["refresh"])
        raise SignInFailed(tr("Not signed in, or the sign-in ran out."), tr("Sign in: keypair login"))

    def renew(self) -> bool:
        """Forget the stored token; tell whether it can be renewed without asking."""
        stored = self._stored()
        if not stored.get("refresh"):
            return False
        self._store.set(token_name(self._profile), json.dumps({**stored, "token": ""}))
        return True

    def sign_in(self) -> str:
        """Sign in as a person, keep the tokens, and return the one for the function. Raises SignInFailed."""
        issuer = Issuer.discovered(self._profile)
        flow = _in_browser if self._profile.method == "browser" else _on_device
        return self._keep(issuer, flow(issuer, self._console))

    def _stored(self) -> dict[str, str]:
        stored: dict[str, str] = json.loads(self._store.get(token_name(self._profile)) or "{}")
        return stored

    def _refreshed(self, refresh: str) -> str:
        issuer = Issuer.discovered(self._profile)
        status, answer = issuer.post(
            issuer.token_endpoint, {"grant_type": "refresh_token", "refresh_token": refresh}
        )
        if status != HTTPStatus.OK:
            # RFC 6749 section 5.2: only this says that the token is of no use any more.
            if answer.get("error") == "invalid_grant":
                self._store.delete(token_name(self._profile))
            raise SignInFailed(tr("The sign-in ran out."), tr("Sign in: keypair login"))
        return self._keep(issuer, {"refresh_token": refresh, **answer})

    def _keep(self, issuer: Issuer, answer: Mapping[str, Any]) -> str:
        audience = self._profile.wanted_audience
        token = _for_function(answer, audience)
        if token is None:
            raise SignInFailed(
                tr(
                    "You are signed in, but {issuer} gave no token for {audience!r}.",
                    issuer=issuer.address,
                    audience=audience,
                ),
                tr("Set the audience that the function's policy has: keypair config set audience NAME"),
            )
        kept = {"token": token, "refresh": answer.get("refresh_token", "")}
        self._store.set(token_name(self._profile), json.dumps(kept))
        return token


class Issuer:
    """An OpenID provider, as its discovery document describes it."""

    def __init__(self, profile: Profile, metadata: Mapping[str, Any]) -> None:
        self.address = profile.issuer
        self.client_id = profile.client_id
        self.scope = profile.scope or "openid profile email offline_access"
        self._metadata = metadata
        self.token_endpoint = self.endpoint("token_endpoint")

    @classmethod
    def discovered(cls, profile: Profile) -> Issuer:
        """Read the discovery document. Raises SignInFailed or UsageProblem."""
        if not profile.issuer or not profile.client_id:
            raise UsageProblem(
                tr("The profile has no issuer or no client-id."),
                tr("Set both: keypair config set issuer https://… and keypair config set client-id NAME"),
            )
        _require_tls(profile.issuer)
        address = profile.issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            answer = exchange("GET", address, {}, seconds=_SECONDS)
            metadata = (answer.content if answer.status == HTTPStatus.OK else None) or {}
        except NoAnswer:
            metadata = {}
        # OpenID Connect Discovery 1.0 section 4.3: another issuer's document is not accepted.
        if str(metadata.get("issuer")).rstrip("/") != profile.issuer.rstrip("/"):
            raise SignInFailed(
                tr("{issuer} does not answer as an OpenID provider.", issuer=profile.issuer),
                tr("Check the address: {url}", url=address),
            )
        return cls(profile, metadata)

    def endpoint(self, name: str) -> str:
        """Return an endpoint. Raises SignInFailed where the provider has none."""
        found = self._metadata.get(name)
        if not isinstance(found, str):
            raise SignInFailed(
                tr("{issuer} does not offer this way to sign in.", issuer=self.address),
                tr("Choose another one: keypair config set sign-in device (or: browser)"),
            )
        _require_tls(found)
        return found

    def post(self, endpoint: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Post a form as this client; return status and JSON. Raises SignInFailed."""
        body = urlencode({"client_id": self.client_id, **form}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer = exchange("POST", endpoint, headers, body, _SECONDS)
        except NoAnswer as fault:
            raise SignInFailed(str(fault), tr("Try again later.")) from None
        if answer.content is None or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # A proxy or a gateway, which says nothing about the sign-in.
            raise SignInFailed(
                tr("{issuer} does not answer ({status}).", issuer=self.address, status=answer.status),
                tr("Try again later."),
            )
        return answer.status, dict(answer.content)


def token_name(profile: Profile) -> str:
    """Return the name under which the tokens of a profile are stored."""
    return f"token of {profile.issuer} for {profile.client_id} at {profile.url}"


def _require_tls(address: str) -> None:
    parts = urlsplit(address)
    # Other schemes could start a program: the address of the sign-in page goes to the browser.
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _LOOPBACK):
        raise UsageProblem(tr("{url} is not encrypted.", url=address), tr("Use an address with https."))


def _for_function(answer: Mapping[str, Any], audience: str) -> str | None:
    """Return the token whose one audience is the function's: the access token if it is a JWT for it."""
    for name in ("access_token", "id_token"):
        token = answer.get(name)
        if isinstance(token, str) and unverified_claims(token).get("aud") in (audience, [audience]):
            return token
    return None


# ---------------------------------------------------------------- on another device


def _on_device(issuer: Issuer, console: Console) -> dict[str, Any]:
    status, started = issuer.post(issuer.endpoint("device_authorization_endpoint"), {"scope": issuer.scope})
    if status != HTTPStatus.OK or "device_code" not in started:
        raise SignInFailed(
            tr("{issuer} refuses the client {client!r}.", issuer=issuer.address, client=issuer.client_id),
            tr("Check client-id, and that the provider allows it the device flow."),
        )
    address = started.get("verification_uri_complete") or started["verification_uri"]
    console.important(
        tr("Open {url} on any device and enter the code {code}", url=address, code=started["user_code"])
    )
    interval = float(started.get("interval", 5))
    deadline = time.monotonic() + float(started.get("expires_in", 600))
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": str(started["device_code"]),
    }
    while time.monotonic() < deadline:
        # RFC 8628 section 3.5: the provider sets the pause, and a client that does not wait is refused.
        time.sleep(interval)
        status, answer = issuer.post(issuer.token_endpoint, form)
        if status == HTTPStatus.OK:
            return answer
        if answer.get("error") == "slow_down":
            interval += 5
        elif answer.get("error") != "authorization_pending":
            break
    raise SignInFailed(tr("The sign-in was refused, or took too long."), tr("Sign in: keypair login"))


# ---------------------------------------------------------------- in a browser


def _in_browser(issuer: Issuer, console: Console) -> dict[str, Any]:
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    listener = _Listener()
    try:
        query = {
            "response_type": "code",
            "client_id": issuer.client_id,
            "redirect_uri": listener.address,
            "scope": issuer.scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = f"{issuer.endpoint('authorization_endpoint')}?{urlencode(query)}"
        console.important(tr("Sign in with your browser: {url}", url=address))
        webbrowser.open(address)
        received = listener.await_answer(state)
    finally:
        listener.close()
    if "code" not in received:
        raise SignInFailed(
            tr("The sign-in failed: {error}", error=received.get("error", tr("no answer from the browser"))),
            tr("Sign in: keypair login"),
        )
    status, answer = issuer.post(
        issuer.token_endpoint,
        {
            "grant_type": "authorization_code",
            "code": received["code"],
            "redirect_uri": listener.address,
            "code_verifier": verifier,
        },
    )
    if status != HTTPStatus.OK:
        raise SignInFailed(
            tr(
                "{issuer} refuses the sign-in: {error}",
                issuer=issuer.address,
                error=answer.get("error", status),
            ),
            tr(
                "Check that the provider knows {client!r} as a public client with PKCE.",
                client=issuer.client_id,
            ),
        )
    return answer


class _Listener:
    """Takes the browser's redirect on a port of the loopback interface (RFC 8252 section 7.3).

    Each connection has a thread: browsers open some in advance, and an idle one must not hold up the rest.
    """

    def __init__(self) -> None:
        received: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                ours = parts.path == "/callback"
                self.send_response(200 if ours else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(_DONE.encode() if ours else b"")
                if ours:
                    received.put({name: values[0] for name, values in parse_qs(parts.query).items()})

            def log_message(self, *_: object) -> None:
                """Write nothing: the address holds the code."""

        self._received = received
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/callback"

    def close(self) -> None:
        """Release the port."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def await_answer(self, state: str) -> dict[str, str]:
        """Return what the provider said to this sign-in; nothing when the time is over."""
        deadline = time.monotonic() + _BROWSER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                received = self._received.get(timeout=left)
            except queue.Empty:
                break
            # SECURITY BOUNDARY: without the state, any web page could sign the user in as somebody else.
            if secrets.compare_digest(received.get("state", "").encode(), state.encode()):
                return received
        return {}
