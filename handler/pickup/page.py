"""What a browser sees behind a pick-up link: a button, so that looking at the link is not its one reading.

Chats make addresses clickable, and they and others fetch them to show or to scan what is there. Only POST
reads; a program does it at once, such as the `curl` in the chat's answer.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from handler.errors import RequestRefused
from handler.http.html import content_security_policy, html_response

if TYPE_CHECKING:
    from handler.errors import KeyPairFunctionError
    from handler.http.messages import Request, Response

# Its own, as the style of the page for browsers is there only with a table [web] in the policy.
_STYLE = (
    "body{font:1rem/1.6 system-ui,sans-serif;margin:0 auto;max-width:34rem;padding:2rem 1rem}"
    "h1{font-size:1.4rem;line-height:1.3}"
    "button{background:#0b57d0;border:0;border-radius:.5rem;color:#fff;font:inherit;padding:.7rem 1.4rem}"
    "button:focus-visible{outline:3px solid #f9ab00;outline-offset:2px}"
)

_TITLE = "Encrypted private key · 加密后的私钥"
# The same for every id, so that it tells nobody which of them are good.
_ASK = (
    "<p>It can be fetched once. The file is encrypted: open it with the command that stands in the chat.</p>"
    '<p lang="zh-CN">只能取回一次。取回的文件是密文，请用聊天中给出的命令解密。</p>'
    '<form method="post"><button>Fetch the file · <span lang="zh-CN">取回文件</span></button></form>'
)
_GONE = (
    "<p>It was fetched already, or its hour is over. If it was not you who fetched it: whoever did has "
    "ciphertext only. Ask for a key pair with another name.</p>"
    '<p lang="zh-CN">已被取回，或已过期。如果不是你本人取回的，对方得到的也只是密文。'
    "请换一个名称重新申请。</p>"
)
_LATER = (
    "<p>That did not work. Go back and try again in a minute.</p>"
    '<p lang="zh-CN">操作没有成功。请返回，稍等一分钟再试。</p>'
)


def is_for_eyes(request: Request) -> bool:
    """Tell whether a browser asks, and not a program."""
    return "text/html" in request.headers.get("accept", "")


def page() -> Response:
    """Return the page with the button; it posts to the link's own address."""
    return _page(200, _ASK)


def refused(error: KeyPairFunctionError) -> Response:
    """Return a page that says why there is no file."""
    return _page(error.status, _GONE if isinstance(error, RequestRefused) else _LATER)


def _page(status: int, body: str) -> Response:
    """Return a page; `body` is HTML."""
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{_TITLE}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{_TITLE}</h1>{body}</main></body></html>"
    )
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return html_response(status, html, security=content_security_policy(style=f"'sha256-{digest}'"))
