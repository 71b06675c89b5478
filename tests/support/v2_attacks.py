"""Requests to the door of the legacy API that nobody proved to have sent, and why they are refused."""

from __future__ import annotations

import base64
import hashlib
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from tests.support.function_under_test import HOST, NOON, OTHER_MASTER, POLICY, RECIPIENT, caller_secret
from tests.support.v2_requests import PATH, V2Request, v2_event, v2_signature

if TYPE_CHECKING:
    from collections.abc import Callable

    Event = dict[str, Any]

WHOM = str(RECIPIENT.to_public())
_ALLOWED = POLICY["callers"]["demo"]
CALLERS: dict[str, Any] = {
    "demo": {**_ALLOWED, "v2": ["HmacSHA256", "HmacSHA1"]},
    "second": {**_ALLOWED, "v2": ["HmacSHA256", "HmacSHA1"]},
    "sha256-only": {**_ALLOWED, "v2": ["HmacSHA256"]},
    "tc3-only": _ALLOWED,
    "pinned": {**POLICY["callers"]["pinned"], "v2": ["HmacSHA256"]},
    "restricted": {**POLICY["callers"]["restricted"], "v2": ["HmacSHA256"]},
}


GOOD = V2Request({"keyName": "web", "recipients.0": WHOM, "Region": "gz"})
BY_SHA1 = replace(GOOD, signature_method="HmacSHA1")
POSTED = replace(GOOD, method="POST")


def signed_with(**changes: str | None) -> Event:
    """Change parameters before they are signed (`__` for `.`); None takes one away."""
    return replace(GOOD, changes={k.replace("__", "."): v for k, v in changes.items()}).event()


def sent_with(request: V2Request = GOOD, /, **changes: str | None) -> Event:
    """Change parameters after they are signed."""
    parameters = {**request.signed(), **{k.replace("__", "."): v for k, v in changes.items()}}
    return v2_event({k: v for k, v in parameters.items() if v is not None}, request.method)


def renamed(old: str, new: str) -> Event:
    """Change a name after it was signed."""
    return v2_event({new if name == old else name: value for name, value in GOOD.signed().items()})


def form(change: Callable[[str], str]) -> Event:
    """Change the text of a signed form."""
    event = POSTED.event()
    event["body"] = change(event["body"])
    return event


def spelled(change: Callable[[str], str], request: V2Request = GOOD) -> Event:
    """Spell a signature in another way. It has a `+`, a `/` and spare bits."""
    for nonce in itertools.count(1):
        parameters = replace(request, nonce=str(nonce)).signed()
        if {"+", "/"} <= set(parameters["Signature"]):
            break
    return v2_event({**parameters, "Signature": change(parameters["Signature"])})


def with_spare_bits(signature: str) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = letters.index(signature[-2])
    other = signature[:-2] + letters[last ^ 1] + "="
    assert base64.b64decode(other) == base64.b64decode(signature)
    return other


def hashed_only() -> Event:
    """Without the HMAC: a hash of secret and text, which can be made longer by whoever has seen one."""
    parameters = BY_SHA1.signed()
    del parameters["Signature"]
    text = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    secret = caller_secret("demo", scheme="v2")
    made = hashlib.sha1(f"{secret}GET{HOST}{PATH}?{text}".encode(), usedforsecurity=False).digest()
    return v2_event({**parameters, "Signature": base64.b64encode(made).decode()})


def extended() -> Event:
    """More text behind the last value, with the padding that SHA-1 had put there."""
    request = replace(BY_SHA1, changes={"recipients.0": None, "zone": "1"})
    parameters = request.signed()
    return v2_event({**parameters, "zone": "1\x80" + "\0" * 20 + "recipients.0=age1"})


def signed_as_sha1_sent_as_sha256() -> Event:
    parameters = BY_SHA1.signed()
    return v2_event({**parameters, "SignatureMethod": "HmacSHA256"})


def made_for(method: str, host: str = HOST, path: str = PATH) -> Event:
    """Return a request that is sent by GET to the door, and was signed for somewhere else."""
    return v2_event(replace(GOOD, method=method, host=host, path=path).signed())


def with_tc3_secret() -> Event:
    """The secret for API v3 of the same caller."""
    parameters = {name: value for name, value in GOOD.signed().items() if name != "Signature"}
    return v2_event({**parameters, "Signature": v2_signature(caller_secret("demo"), parameters)})


@dataclass(frozen=True)
class Bad:
    title: str
    event: Event
    reason: str


AMPERSAND = f"{WHOM}&recipients.1={WHOM}"
EVENT = GOOD.event()
FORM_EVENT = POSTED.event()

UNAUTHENTICATED = [
    # Each parameter missing.
    Bad("no Signature", sent_with(Signature=None), "v2-signature-form"),
    Bad("no SecretId", signed_with(SecretId=None), "v2-secret-id"),
    Bad("no Nonce", signed_with(Nonce=None), "v2-nonce"),
    Bad("no Timestamp", signed_with(Timestamp=None), "v2-timestamp"),
    Bad("nothing", v2_event({}), "v2-signature-form"),
    *(
        Bad(f"{name} taken away on the way", sent_with(**{name.replace(".", "__"): None}), "v2-signature")
        for name in ("Action", "SignatureMethod", "keyName", "recipients.0", "Region")
    ),
    # Each parameter empty.
    Bad("empty Signature", sent_with(Signature=""), "v2-signature-form"),
    Bad("empty SecretId", signed_with(SecretId=""), "v2-secret-id"),
    Bad("empty Nonce", signed_with(Nonce=""), "v2-nonce"),
    Bad("empty Timestamp", signed_with(Timestamp=""), "v2-timestamp"),
    Bad("empty SignatureMethod", signed_with(SignatureMethod=""), "v2-signature-method"),
    # Each parameter twice.
    *(
        Bad(f"{name} twice", form(lambda body, name=name: f"{body}&{name}=1"), "v2-twice")  # type: ignore[misc]  # mypy knows no defaults of lambdas
        for name in ("Action", "Nonce", "SecretId", "Signature", "SignatureMethod", "Timestamp", "keyName")
    ),
    Bad("keyName twice, escaped", form(lambda body: f"{body}&%6beyName=evil"), "v2-twice"),
    Bad("recipients_0 beside recipients.0", sent_with(recipients_0="age1"), "v2-twice"),
    # Each name in other letters.
    Bad("signature", renamed("Signature", "signature"), "v2-signature-form"),
    Bad("secretid", renamed("SecretId", "secretid"), "v2-secret-id"),
    Bad("NONCE", renamed("Nonce", "NONCE"), "v2-nonce"),
    Bad("timestamp", renamed("Timestamp", "timestamp"), "v2-timestamp"),
    Bad("signaturemethod", renamed("SignatureMethod", "signaturemethod"), "v2-signature"),
    Bad("action", renamed("Action", "action"), "v2-signature"),
    Bad("KeyName", renamed("keyName", "KeyName"), "v2-signature"),
    # Changed or added on the way.
    Bad("another action", sent_with(Action="DeleteKeyPairs"), "v2-signature"),
    Bad("another name", sent_with(keyName="evil"), "v2-signature"),
    Bad("another recipient", sent_with(recipients__0="age1evil"), "v2-signature"),
    Bad("one recipient more", sent_with(recipients__1=WHOM), "v2-signature"),
    Bad("another region", sent_with(Region="ap-shanghai"), "v2-signature"),
    Bad("the long name of the same region", sent_with(Region="ap-guangzhou"), "v2-signature"),
    Bad("another nonce", sent_with(Nonce="2"), "v2-signature"),
    Bad("another time", sent_with(Timestamp=str(NOON + 1)), "v2-signature"),
    Bad("a client token", sent_with(clientToken="x"), "v2-signature"),
    Bad("another version", sent_with(Version="2017-03-12"), "v2-signature"),
    # Another method, path, host.
    Bad("signed for POST", made_for("POST"), "v2-signature"),
    Bad("signed for GET", v2_event(GOOD.signed(), "POST"), "v2-signature"),
    Bad("signed for another path", made_for("GET", path="/"), "v2-signature"),
    Bad("signed for CVM", made_for("GET", host="cvm.api.qcloud.com"), "v2-signature"),
    Bad("signed for nobody", made_for("GET", host=""), "v2-signature"),
    Bad(
        "signed for the host in the header",
        {**made_for("GET", host="evil.example.com"), "headers": {"host": "evil.example.com"}},
        "v2-signature",
    ),
    # Query and body.
    Bad("a body with GET", {**EVENT, "body": urlencode(GOOD.signed())}, "v2-two-places"),
    Bad("a query with POST", {**FORM_EVENT, "queryString": {"keyName": "evil"}}, "v2-two-places"),
    Bad(
        "all in the query of a POST",
        {**FORM_EVENT, "body": "", "queryString": POSTED.signed()},
        "v2-two-places",
    ),
    Bad("JSON", {**FORM_EVENT, "headers": {"content-type": "application/json"}}, "v2-content-type"),
    Bad("no Content-Type", {**FORM_EVENT, "headers": {}}, "v2-content-type"),
    Bad("no form", form(lambda _: '{"Action": "CreateKeyPair"}'), "v2-form"),
    Bad("a form of 65", form(lambda body: body + "&a=1" * 65), "v2-form"),
    Bad("a query of 65", v2_event({f"a{number}": "1" for number in range(65)}), "v2-size"),
    # Time.
    Bad("301 s old", replace(GOOD, timestamp=NOON - 301).event(), "v2-window"),
    Bad("301 s ahead", replace(GOOD, timestamp=NOON + 301).event(), "v2-window"),
    Bad("of 1970", replace(GOOD, timestamp=0).event(), "v2-window"),
    Bad("in milliseconds", signed_with(Timestamp=f"{NOON}000"), "v2-timestamp"),
    Bad("a sign", signed_with(Timestamp=f"+{NOON}"), "v2-timestamp"),
    Bad("a fraction", signed_with(Timestamp=f"{NOON}.0"), "v2-timestamp"),
    Bad("a space", signed_with(Timestamp=f"{NOON} "), "v2-timestamp"),
    Bad("an underscore", signed_with(Timestamp="1_795_521_600"), "v2-timestamp"),
    Bad("other digits", signed_with(Timestamp="\uff11795521600"), "v2-timestamp"),
    # Nonce.
    *(
        Bad(f"nonce {nonce!r}", signed_with(Nonce=nonce), "v2-nonce")
        for nonce in ("0", "-1", "+1", "01", "1.0", "1e3", "0x10", "x", " 1", "1\n", "\u0661", "9" * 21)
    ),
    # Who.
    Bad("nobody", replace(GOOD, caller="nobody").event(), "v2-caller"),
    Bad("somebody without v2", replace(GOOD, caller="tc3-only").event(), "v2-caller"),
    Bad("SHA-1 is not granted", replace(BY_SHA1, caller="sha256-only").event(), "v2-caller"),
    Bad(
        "nor where it is not named",
        replace(BY_SHA1, caller="sha256-only", changes={"SignatureMethod": None}).event(),
        "v2-caller",
    ),
    Bad("somebody else's secret", sent_with(SecretId="second"), "v2-signature"),
    Bad("the id in other letters", sent_with(SecretId="Demo"), "v2-signature"),
    Bad("an id with a slash", signed_with(SecretId="demo/x"), "v2-secret-id"),
    Bad("an id of 65", signed_with(SecretId="d" * 65), "v2-secret-id"),
    Bad("another master secret", replace(GOOD, master=OTHER_MASTER).event(), "v2-signature"),
    Bad("the secret for API v3", with_tc3_secret(), "v2-signature"),
    # SignatureMethod.
    *(
        Bad(f"method {method!r}", signed_with(SignatureMethod=method), "v2-signature-method")
        for method in ("HmacSHA512", "HmacMD5", "hmacsha256", "HmacSHA256 ", "none", "TC3-HMAC-SHA256")
    ),
    Bad("SHA-1 called SHA-256", signed_as_sha1_sent_as_sha256(), "v2-signature"),
    Bad("SHA-256 called SHA-1", sent_with(SignatureMethod="HmacSHA1"), "v2-signature"),
    Bad("SHA-1 by default", sent_with(SignatureMethod=None), "v2-signature"),
    Bad("a hash instead of an HMAC", hashed_only(), "v2-signature"),
    Bad("made longer", extended(), "v2-signature"),
    # The signature's letters.
    Bad("without padding", spelled(lambda text: text.rstrip("=")), "v2-signature-form"),
    Bad("more padding", spelled(lambda text: text + "="), "v2-signature-form"),
    Bad("for URLs", spelled(lambda text: text.translate(str.maketrans("+/", "-_"))), "v2-signature-form"),
    Bad("a space for a plus", spelled(lambda text: text.replace("+", " ")), "v2-signature-form"),
    Bad("escaped twice", spelled(quote_plus), "v2-signature-form"),
    Bad("a newline", spelled(lambda text: text + "\n"), "v2-signature-form"),
    Bad("spare bits", spelled(with_spare_bits), "v2-signature"),
    Bad("spare bits, SHA-1", spelled(with_spare_bits, BY_SHA1), "v2-signature"),
    Bad("lower case", spelled(str.lower), "v2-signature"),
    Bad("hexadecimal", spelled(lambda text: base64.b64decode(text).hex()), "v2-signature-form"),
    Bad("half of it", spelled(lambda text: text[:27] + "="), "v2-signature"),
    Bad("not ASCII", spelled(lambda text: "\u00e9" + text[1:]), "v2-signature-form"),
    # One text, two requests.
    Bad("a value that was two parameters", signed_with(recipients__0=AMPERSAND), "v2-ambiguous"),
    Bad("a name with =", renamed("keyName", "keyName=web&x"), "v2-ambiguous"),
    Bad("a name with ?", renamed("keyName", "?keyName"), "v2-ambiguous"),
    Bad("a name with a space", renamed("keyName", "keyName "), "v2-ambiguous"),
    Bad("no UTF-8", signed_with(keyName="web") | {"queryString": {"a": "\ud800"}}, "v2-ambiguous"),
]
