"""Functions with a page, run by `scripts/serve`: one to sign in at an issuer, one with typed secrets."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import MappingProxyType
from typing import TYPE_CHECKING

import pyrage
from cryptography.hazmat.primitives.asymmetric import ec

from handler.web.page import STATIC
from tests.support.function_process import running_function
from tests.support.token_issuer import jwk, token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.function_process import FunctionProcess

REGISTERED = pyrage.x25519.Identity.generate()
_DESK = ec.generate_private_key(ec.SECP256R1())
_DESK_ISSUER, _DESK_AUDIENCE = "https://desk.example.com", "keypair-form"

_FREE = {
    "names": ["*"],
    "regions": ["ap-guangzhou", "ap-shanghai"],
    "own_recipients": True,
    "longest_expiry": "90d",
}


def _policy(
    web: dict[str, object],
    issuers: dict[str, object],
    first_grant: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, object]:
    desk = {
        "issuer": _DESK_ISSUER,
        "audience": _DESK_AUDIENCE,
        "algorithms": ["ES256"],
        "jwks": {"keys": [jwk(_DESK)]},
    }
    return {
        "web": web,
        "issuers": {"desk": desk, **issuers},
        "callers": {
            "demo": {
                "tc3": True,
                "jwt": [{"issuer": "desk", "claims": {"sub": "demo"}}],
                "grants": [
                    {**_FREE, **first_grant},
                    {
                        "names": ["ci_*"],
                        "projects": [0, 1234],
                        "regions": ["ap-beijing"],
                        "own_recipients": True,
                        "required_tags": {"team": "core-?", "env": "staging"},
                        "optional_tags": {"note": "*"},
                    },
                ],
            },
        },
    }


@contextmanager
def function_at(issuer: str, folder: Path) -> Iterator[FunctionProcess]:
    """Run a function whose page signs people in at `issuer`, as the client `keypair-web`."""
    policy = _policy(
        {"issuer": "login", "client_id": "keypair-web"},
        {
            "login": {
                "issuer": issuer,
                "audience": "keypair-web",
                "algorithms": ["RS256"],
                "jwks_url": f"{issuer}/jwks",
            }
        },
    )
    # With these the page's envelope has several recipients.
    escrow = jwk(ec.generate_private_key(ec.SECP256R1()))
    policy["escrow"] = [str(REGISTERED.to_public()), json.dumps(escrow)]
    callers = policy["callers"]
    assert isinstance(callers, dict)
    callers["alice"] = {"jwt": [{"issuer": "login", "claims": {"sub": "alice"}}], "grants": [_FREE]}
    callers["pinned"] = {
        "jwt": [{"issuer": "login", "claims": {"sub": "pinned"}}],
        "recipients": [str(REGISTERED.to_public())],
        "grants": [{"names": ["pin_*"], "regions": ["ap-guangzhou"]}],
    }
    with _running(policy, folder / "issuer.json") as function:
        yield function


@contextmanager
def function_with_typed_secrets(folder: Path, *origins: str) -> Iterator[FunctionProcess]:
    """Run a function whose page asks for id and secret; pages of `origins` may call it."""
    with _running(_policy({"origins": origins}, {}), folder / "typed.json") as function:
        yield function


@contextmanager
def function_with_a_list(folder: Path) -> Iterator[FunctionProcess]:
    """Run a function as above; `demo` is an operator, and `other` has key pairs of its own."""
    policy = _policy({}, {}, {"actions": ["create", "list", "delete"], "callers": ["*"]})
    callers = policy["callers"]
    assert isinstance(callers, dict)
    callers["other"] = {"jwt": [{"issuer": "desk", "claims": {"sub": "other"}}], "grants": [_FREE]}
    with _running(policy, folder / "list.json") as function:
        yield function


@contextmanager
def _running(policy: dict[str, object], path: Path) -> Iterator[FunctionProcess]:
    path.write_text(json.dumps(policy), encoding="utf-8")
    with running_function(emulator=True, policy=path) as function:
        yield function


@contextmanager
def hosted_elsewhere(folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve the page's files from a server that is not the function; give its origin and `web.json`."""
    shutil.copytree(STATIC, folder / "static")
    (folder / "static" / "index.html").rename(folder / "index.html")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", folder / "web.json"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def typed_token(subject: str = "demo") -> str:
    """Return a token of the desk, as somebody may type it into the form without JavaScript."""
    now = int(time.time())
    claims = {"iss": _DESK_ISSUER, "aud": _DESK_AUDIENCE, "sub": subject, "iat": now, "exp": now + 600}
    return token(_DESK, claims, alg="ES256")
