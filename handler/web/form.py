"""`POST /form`: the form for browsers without JavaScript. Its response is a page.

A plain form cannot sign, so the user types a bearer token. It cannot generate a recipient key either: the
private key is sealed to the public key that the user pastes, and they open it with their own tools.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from pydantic.alias_generators import to_camel

from handler.api.issue_endpoint import IssueEndpoint, IssueRequest
from handler.api.request_fields import read
from handler.api.wire_models import WireModel
from handler.errors import MalformedRequest, NotGranted, Unauthenticated
from handler.http.html import content_security_policy, html_response
from handler.order import (  # pydantic reads the annotations at run time
    Duration,
    KeyName,
    KeyPairOrder,
    PrivateKeyFormat,
    Region,
    seconds,
)
from handler.pickup.links import file_name_of
from handler.startup.records import dataclass
from handler.web.origins import crosses_origins
from handler.web.page import stylesheet

if TYPE_CHECKING:
    from collections.abc import Collection

    from handler.auth.caller import AuthenticatedCaller
    from handler.errors import KeyPairFunctionError
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Request, Response
    from handler.issuance.issuer import IssuedKeyPair


_FIELDS_LIMIT = 16
_MEDIA_TYPE = "application/x-www-form-urlencoded"


class FormRequest(WireModel, alias_generator=to_camel):
    """The fields of the form except the token. Fields that were left empty are absent."""

    key_name: KeyName
    recipient: str | None = None
    region: Region | None = None
    private_key_format: PrivateKeyFormat = PrivateKeyFormat.PKCS1
    expires_in: Duration | None = None


@dataclass(frozen=True)
class FormEndpoint(IssueEndpoint):
    """Issues key pairs to people without JavaScript. `verify` checks the Authorization header."""

    hosts: Collection[str]
    origins: Collection[str]

    def authenticate(self, request: Request) -> AuthenticatedCaller:
        """Return the caller whose token is in the form.

        Raises Unauthenticated, NotGranted if a page of another origin sent the form, or MalformedRequest.
        """
        # Before anything else: a form that another site makes the browser send is not even parsed.
        if crosses_origins(request, self.hosts, self.origins):
            raise NotGranted("cross-origin")
        token = _fields(request).get("token")
        if token is None:
            raise Unauthenticated("form-token")
        # The token is verified as if it had come in the header; the verifier reads no other header that
        # matters. The request key covers the body, token included.
        return self.verify(replace(request, headers={**request.headers, "authorization": f"Bearer {token}"}))

    def parse(self, request: Request, caller: AuthenticatedCaller) -> IssueRequest:
        """Read the other fields."""
        del caller
        fields = _fields(request)
        del fields["token"]
        form = read(FormRequest, fields)
        order = KeyPairOrder(
            name=form.key_name,
            region=form.region or self.default_region,
            recipients=() if form.recipient is None else (form.recipient,),
            private_key_format=form.private_key_format,
            expires_in=None if form.expires_in is None else seconds(form.expires_in),
        )
        # The same form is the same order, so reloading its page shows the same answer.
        return IssueRequest(order, None)

    def render(self, issued: IssuedKeyPair) -> Response:
        """Return 201 with the envelope and the command that opens it."""
        sealed = issued.sealed_private_key
        file_name = file_name_of(issued)
        rows = [
            ("Key name · 密钥名称", issued.key_name),
            ("Key id · 密钥 ID", issued.key_id),
            ("Region · 地域", issued.region),
            ("Fingerprint · 指纹", issued.fingerprint),
            ("Expires · 到期时间", issued.expires_at or "never · 永不"),
        ]
        table = "".join(f"<dt>{label}</dt><dd><code>{escape(value)}</code></dd>" for label, value in rows)
        parts = [
            f"<dl>{table}</dl>",
            _block("Public key · 公钥", issued.public_key),
            _block("Sealed private key · 加密的私钥", sealed.ciphertext),
            f"<p>Save it as · 另存为 <code>{escape(file_name)}</code></p>",
            _block("Open it with · 打开命令", sealed.open_with),
        ]
        return _page(201, "Key pair created · 密钥对已创建", "".join(parts))

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Return `error` as a page with advice."""
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {}
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        request_id = escape(context.request_id)
        english, chinese = _ADVICE.get(error.status, _LATER)
        problems = "".join(
            f"<li><code>{escape(problem.field)}</code>: {escape(problem.advice or problem.rule)}"
            f"{_in_chinese(problem.advice_zh)}</li>"
            for problem in error.problems
        )
        parts = [
            f'<p class="problem">{escape(error.title)}</p>',
            f"<ul>{problems}</ul>" if problems else "",
            f'<p>{english}</p><p lang="zh">{chinese}</p>',
            f'<p class="hint">{error.status} <code>{error.code}</code> <code>{request_id}</code></p>',
            '<p><a href="./">Back · 返回</a></p>',
        ]
        return _page(error.status, "No key pair · 未创建密钥对", "".join(parts), headers)


_ADVICE = {
    400: (
        "Go back, correct the fields above, and send the form again.",
        "请返回，更正上述字段，然后重新提交。",
    ),
    401: ("Get a new token and send the form again.", "请获取新的令牌，然后重新提交。"),
    403: (
        "Ask the policy administrator for this permission, or request something else.",
        "请向策略管理员申请，或改为请求其他内容。",
    ),
    409: (
        "If you sent the form twice, wait and reload this page. Otherwise choose another name.",
        "若重复提交了表单，请稍候并刷新本页；否则请换一个名称。",
    ),
    422: ("Go back and enter another public key.", "请返回并填写另一个公钥。"),
    429: ("Wait a moment, then reload this page.", "请稍候，然后刷新本页。"),
}
_LATER = (
    "The form is fine. Wait a moment and reload this page: the same form never creates a second key pair.",
    "表单本身没有问题。请稍候并刷新本页：同一表单只会创建一个密钥对。",
)


def _fields(request: Request) -> dict[str, str]:
    """Return the fields that are not empty; raise MalformedRequest, also for a field that occurs twice."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _MEDIA_TYPE:
        raise MalformedRequest("form-media-type")
    if not request.unverified_body:
        raise MalformedRequest("form")  # some versions of Python parse it as a form without fields
    try:
        pairs = parse_qsl(
            request.unverified_body.decode("ascii"),
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FIELDS_LIMIT,
        )
    except ValueError:
        raise MalformedRequest("form") from None
    fields = {name: value.strip() for name, value in pairs}
    if len(fields) != len(pairs):
        raise MalformedRequest("form-field-twice")
    return {name: value for name, value in fields.items() if value}


def _in_chinese(text: str) -> str:
    return f'<p lang="zh">{escape(text)}</p>' if text else ""


def _block(label: str, text: str) -> str:
    # It may scroll, so it must be reachable without a mouse.
    return f'<h2>{label}</h2><pre tabindex="0" role="region" aria-label="{label}">{escape(text)}</pre>'


def _page(status: int, title: str, body: str, headers: dict[str, str] | None = None) -> Response:
    """Return a page; `body` is HTML."""
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f'<title>{title}</title><link rel="stylesheet" href="{stylesheet()}"></head>'
        f'<body><main class="card"><h1>{title}</h1>{body}</main></body></html>'
    )
    return html_response(status, html, security=content_security_policy(), headers=headers)
