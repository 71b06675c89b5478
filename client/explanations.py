"""From the function's errors to what the user can do about them."""

from __future__ import annotations

import fnmatch
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from client.answers import GRANTED, PROBLEM, has_shape, incomplete
from client.console import one_line
from client.errors import (
    AlreadyExists,
    ClientError,
    NotGranted,
    RequestRefused,
    ServiceFailed,
    SignInFailed,
    Unavailable,
)
from client.language import in_chinese, tr
from client.order import DURATION, NAME_LIMIT, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from client.connection import Answer
    from client.pending import PendingRequest
    from client.service import Service

CLOCK_TOLERANCE = 240
"""Seconds of difference that are mentioned; the function refuses more than 300."""


def explained(
    answer: Answer,
    service: Service,
    request: PendingRequest | None = None,
    *,
    imported: str = "",
    unfinished: bool = False,
) -> ClientError:
    """Return the error that an answer of the function stands for."""
    error = _explained(answer, service, request, imported)
    request_id = answer.request_id or (answer.content or {}).get("requestId")
    if request_id and isinstance(error, (ServiceFailed, SignInFailed)):
        error.advice += " " + tr("Request id: {id}", id=one_line(request_id))
    if unfinished:
        error.advice += " " + kept_request()
    return error


def kept_request() -> str:
    """Say that a request is kept, and what for."""
    return tr(
        "The key pair may have been made, so the request is kept: run the same command again, or add "
        "--start-over to give it up."
    )


def _explained(
    answer: Answer, service: Service, request: PendingRequest | None, imported: str
) -> ClientError:
    code = answer.code
    if not code:
        return _another_server(answer, service)
    if code == "unauthenticated":
        return SignInFailed(
            tr("The function does not accept the sign-in."), " ".join(doubts(answer, service))
        )
    if code == "not-granted":
        return NotGranted(tr("The policy does not grant this."), _what_is_granted(service, request))
    if code == "recipient-refused" and request and "recipients" not in json.loads(request.body):
        return RequestRefused(
            tr("No public key is registered for you."),
            tr("Ask the function's operator to register one, or leave --registered out."),
        )
    if code == "name-taken":
        name = request.name if request else imported
        command = f"import {_another_name(name)} FILE" if imported else f"create {_another_name(name)}"
        return AlreadyExists(
            tr("A key pair named {name} exists in the account.", name=name),
            tr(
                "If it is yours, `keypair show {name}` shows it. Choose another name: keypair {command}",
                name=name,
                command=command,
            ),
        )
    if code in {"malformed-request", "recipient-refused", "public-key-refused", "tags-refused"}:
        return RequestRefused(_TEXTS[code][0](), _fields(answer.content or {}) or _TEXTS[code][1]())
    if code in _TEXTS:
        message, advice = _TEXTS[code]
        kind = _KINDS.get(code, ServiceFailed)
        return kind(message(), advice())
    kind = ServiceFailed if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else RequestRefused
    title = one_line((answer.content or {}).get("title", ""))
    return kind(
        tr("The function answers: {title} ({code})", title=title, code=code), tr("Tell its operator.")
    )


_KINDS: dict[str, type[ClientError]] = {
    "idempotency-key-reused": RequestRefused,
    "project-not-found": RequestRefused,
    "body-too-large": RequestRefused,
    "key-pair-not-found": RequestRefused,
    "key-pair-in-use": RequestRefused,
    "key-pair-deleted": RequestRefused,
    "public-key-taken": AlreadyExists,
}
# Functions, so that the language is chosen when the message is needed.
_TEXTS: dict[str, tuple[Callable[[], str], Callable[[], str]]] = {
    "malformed-request": (
        lambda: tr("The function cannot read the request."),
        lambda: tr("This client may be older than the function; update it."),
    ),
    "recipient-refused": (
        lambda: tr("The function refuses a recipient."),
        lambda: tr("Give another public key, or leave --recipient out."),
    ),
    "public-key-refused": (
        lambda: tr("The public key cannot be imported."),
        lambda: tr("Import an RSA key of 2048 to 4096 bits: ssh-keygen -t rsa -b 3072"),
    ),
    "tags-refused": (
        lambda: tr("The cloud refuses the tags."),
        lambda: tr("Use letters, digits and +-=._:/@() in tags."),
    ),
    "idempotency-key-reused": (
        lambda: tr("The unfinished request does not match what the function has."),
        lambda: tr("Add --start-over to make a new one."),
    ),
    "project-not-found": (
        lambda: tr("The project does not exist."),
        lambda: tr("Leave --project out, or look its number up in the console."),
    ),
    "body-too-large": (
        lambda: tr("The recipients are too large together."),
        lambda: tr("Send fewer or smaller keys."),
    ),
    "not-found": (
        lambda: tr("There is no such operation at this address."),
        lambda: tr("The function may be older than this client; ask its operator to update it."),
    ),
    "quota-reached": (
        lambda: tr("The account has as many key pairs as it may have."),
        lambda: tr("Ask the function's operator to delete some."),
    ),
    "key-pair-not-found": (
        lambda: tr("You have no such key pair."),
        lambda: tr("See what there is: keypair list"),
    ),
    "key-pair-in-use": (
        lambda: tr("A server uses the key pair."),
        lambda: tr("Unbind it there first, in the console or with DisassociateInstancesKeyPairs."),
    ),
    "key-pair-deleted": (
        lambda: tr("The key pair of this request was deleted."),
        lambda: tr("Add --start-over to make a new one."),
    ),
    "public-key-taken": (
        lambda: tr("The account has this public key already."),
        lambda: tr("Import another one; for one of your own, see: keypair list"),
    ),
    "misconfigured": (
        lambda: tr("The function is not configured correctly."),
        lambda: tr("Tell its operator; the function's log says what is wrong."),
    ),
    "cloud-refused": (
        lambda: tr("The cloud refuses what the function asks for."),
        lambda: tr("Tell its operator to check the function's role. No key pair was made."),
    ),
    "cloud-answer-invalid": (
        lambda: tr("What the cloud made failed a check and was deleted."),
        lambda: tr("Run the command again. If it happens again, tell the function's operator."),
    ),
    "internal-fault": (
        lambda: tr("The function failed."),
        lambda: tr("Tell its operator. No key pair is left."),
    ),
    "sealing-failed": (
        lambda: tr("The private key could not be sealed."),
        lambda: tr("Tell the function's operator. No key pair is left."),
    ),
}


def doubts(answer: Answer, service: Service) -> list[str]:
    """Return what can be wrong with a sign-in: what this machine can check first, else what remains."""
    profile, now = service.profile, service.now()
    found = []
    if answer.date is not None and abs(answer.date - now) > CLOCK_TOLERANCE:
        found.append(
            tr(
                "This machine's clock is off by {minutes:.0f} minutes; set it.",
                minutes=abs(answer.date - now) / 60,
            )
        )
    found += service.credential.doubts(now)
    if not found:
        host = urlsplit(profile.url).netloc
        found = [
            tr("Clock and address were checked here. Remaining causes:"),
            tr("(1) the secret key is wrong or was replaced: `keypair login`;"),
            tr("(2) {id!r} is not in the policy, or lacks tc3 = true;", id=profile.secret_id),
            tr("(3) the function's KEYPAIR_HOSTS lacks {host}.", host=host),
            tr("The audit log says which."),
        ]
    return found


def _another_server(answer: Answer, service: Service) -> ClientError:
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        return RequestRefused(
            tr("{url} redirects elsewhere.", url=service.profile.url),
            tr("Set the final address: keypair config set url URL"),
        )
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(
            tr("The function is not available ({status}).", status=answer.status),
            tr("Run the same command again later."),
        )
    return RequestRefused(
        tr(
            "{url} is not a keypair function (status {status}).",
            url=service.profile.url,
            status=answer.status,
        ),
        tr("Check the address. In a company network a proxy may answer instead."),
    )


def _fields(content: Mapping[str, Any]) -> str:
    """Say which options the function complains about, by their names here."""
    options = {
        "keyName": "NAME", "publicKey": "FILE", "recipients": "--recipient", "projectId": "--project",
        "region": "--region", "tags": "--tag", "expiresIn": "--expires", "privateKeyFormat": "--format",
    }  # fmt: skip
    found = []
    for problem in content["errors"] if has_shape(content, PROBLEM) else ():
        field, _, position = problem["field"].partition(".")
        place = options.get(field, field)
        if field == "recipients" and position.isdigit():
            place += " " + tr("(number {position})", position=int(position) + 1)
        if in_chinese() and problem.get("adviceZh"):
            found.append(f"{place}：{one_line(problem['adviceZh'])}")  # the colon of Chinese text
        else:
            found.append(f"{place}: {one_line(problem.get('advice') or problem.get('rule'))}.")
    return " ".join(found)


def _another_name(name: str) -> str:
    stem, _, number = name.rpartition("_")
    stem, suffix = (stem, f"_{int(number) + 1}") if stem and number.isdigit() else (name, "_2")
    return stem[: NAME_LIMIT - len(suffix)] + suffix


def _what_is_granted(service: Service, request: PendingRequest | None) -> str:
    grants = _grants(service)
    if grants is None:
        return tr("Ask the function's operator what you may have.")
    if request is None:
        actions = ", ".join(grants.get("actions", ()))
        return tr(
            "You are {caller}. You may: {actions}.", caller=grants.get("caller"), actions=actions or "-"
        )
    wanted = json.loads(request.body)
    allowed = grants.get("grants", ())
    if wanted.get("recipients") and not any(grant.get("ownRecipients") for grant in allowed):
        return tr("You may only use the public keys that the policy registers for you: add --registered.")
    # Chinese puts no blank after a full stop.
    text = ("" if in_chinese() else " ").join(
        [*_not_covered(wanted, allowed), tr("You are {caller}. You may have:", caller=grants.get("caller"))]
    )
    return text + "".join("\n    - " + describe_grant(grant) for grant in allowed)


def _not_covered(wanted: Mapping[str, Any], grants: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what of a request no grant covers, by itself."""
    found = []
    name, region, project = wanted["keyName"], wanted.get("region"), wanted.get("projectId", 0)
    if not any(fnmatch.fnmatchcase(name, pattern) for grant in grants for pattern in grant["names"]):
        found.append(tr("No grant of yours covers the name {name}.", name=name))
    if region and not any(region in grant["regions"] for grant in grants):
        found.append(tr("No grant of yours covers the region {region}.", region=region))
    if not any(project in (grant.get("projects") or [0]) for grant in grants):
        found.append(tr("No grant of yours covers the project {project}.", project=project))
    tags = wanted.get("tags", {})
    found += [
        tr("No grant of yours covers the tag {key}={value}.", key=key, value=value)
        for key, value in tags.items()
        if not any(_covers_tag(grant, key, value) for grant in grants)
    ]
    if grants and all((grant.get("requiredTags") or {}).keys() - tags.keys() for grant in grants):
        found.append(tr("A required tag is missing."))
    expires, longest = wanted.get("expiresIn"), [grant.get("longestExpiry") for grant in grants]
    if expires and all(
        one and DURATION.fullmatch(one) and seconds(one) < seconds(expires) for one in longest
    ):
        found.append(tr("No grant of yours covers --expires {time}.", time=expires))
    return found


def _covers_tag(grant: Mapping[str, Any], key: str, value: str) -> bool:
    if key in (forced := grant.get("forcedTags") or {}):
        return bool(forced[key] == value)
    pattern = {**(grant.get("requiredTags") or {}), **(grant.get("optionalTags") or {})}.get(key)
    return pattern is not None and fnmatch.fnmatchcase(value, pattern)


def require_grants(service: Service) -> Mapping[str, Any]:
    """Return what the caller may have. Raises a ClientError."""
    from client.service import GRANTS

    answer = service.post(GRANTS, b"{}")
    if (granted := _granted(answer)) is None:
        raise incomplete() if answer.status == HTTPStatus.OK else explained(answer, service)
    return granted


def _grants(service: Service) -> Mapping[str, Any] | None:
    """Return what the caller may have, None where the function does not say: this explains another error."""
    from client.service import GRANTS

    try:
        return _granted(service.post(GRANTS, b"{}"))
    except ClientError:
        return None


def _granted(answer: Answer) -> Mapping[str, Any] | None:
    usable = answer.status == HTTPStatus.OK and has_shape(answer.content, GRANTED)
    return answer.content if usable else None


def describe_grant(grant: Mapping[str, Any]) -> str:
    """Return a grant in one line."""
    parts = [
        tr("names {names}", names=", ".join(grant["names"])),
        tr("regions {regions}", regions=", ".join(grant["regions"])),
    ]
    if grant.get("projects") not in (None, [0]):
        parts.append(tr("projects {projects}", projects=", ".join(map(str, grant["projects"]))))
    for field, text in (("requiredTags", tr("required tags")), ("optionalTags", tr("optional tags"))):
        if grant.get(field):
            parts.append(f"{text} " + ", ".join(f"{key}={value}" for key, value in grant[field].items()))
    if grant.get("longestExpiry"):
        parts.append(tr("for at most {time}", time=grant["longestExpiry"]))
    if not grant.get("ownRecipients"):
        parts.append(tr("registered recipients only"))
    return "; ".join(parts)
