"""The page behind a pick-up link: a button, so that opening the link does not use it up.

Chat clients and scanners fetch links to preview or check them. Only POST downloads the envelope. Programs,
such as the `curl` command in the chat, send POST directly.
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

# A style of its own: that of the web page is served only with a table [web] in the policy.
_STYLE = (
    "body{font:1rem/1.6 system-ui,sans-serif;margin:0 auto;max-width:34rem;padding:2rem 1rem}"
    "h1{font-size:1.4rem;line-height:1.3}"
    "button{background:#0b57d0;border:0;border-radius:.5rem;color:#fff;font:inherit;padding:.7rem 1.4rem}"
    "button:focus-visible{outline:3px solid #f9ab00;outline-offset:2px}"
)

_TITLE = "Encrypted private key · 加密后的私钥"
# The same for every id, so that it does not reveal which ids exist.
_ASK = (
    "<p>You can download the file once. It is encrypted: open it with the command from the chat.</p>"
    '<p lang="zh-CN">文件只能下载一次。文件已加密，请用聊天中给出的命令解密。</p>'
    '<form method="post"><button>Download the file · <span lang="zh-CN">下载文件</span></button></form>'
)
_GONE = (
    "<p>The file was already downloaded, the link has expired, or the key pair was deleted. If somebody else "
    "downloaded it, they have the ciphertext but cannot read it. Ask for a key pair with another name.</p>"
    '<p lang="zh-CN">文件已被下载、链接已过期，或密钥对已被删除。即使文件被他人下载，'
    "对方也只得到密文，无法解密。请换一个名称重新申请。</p>"
)
_LATER = (
    "<p>That did not work. Go back and try again in a minute.</p>"
    '<p lang="zh-CN">操作失败。请返回，等一分钟再试。</p>'
)


def is_from_browser(request: Request) -> bool:
    """Return whether the request comes from a browser rather than a program."""
    return "text/html" in request.headers.get("accept", "")


def page() -> Response:
    """Return the page with the button, which posts to the same address."""
    return _page(200, _ASK)


def refused(error: KeyPairFunctionError) -> Response:
    """Return a page that says why the file is not available."""
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
