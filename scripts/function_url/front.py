"""The HTTP side: request -> documented event, and return value -> response.

https://cloud.tencent.com/document/product/583/96099
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl

from scripts.function_url.bootstrap import USER_CODE_ERROR
from scripts.function_url.instance import Failed, Outcome

if TYPE_CHECKING:
    from email.message import Message

_BODY_LIMIT = (
    6 * 1024 * 1024
)  # synchronous event and response, https://cloud.tencent.com/document/product/583/11637
_REQUEST_TOO_LARGE = 406
_RESPONSE_TOO_LARGE = 407
# SCF manages the connection.
_HOP_BY_HOP = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Function(Protocol):
    """Whatever runs the function on an event."""

    def call(self, event: Mapping[str, object]) -> Outcome:
        """Return the outcome."""
        ...


def event_of(method: str, target: str, headers: "Message", body: bytes, client: str) -> dict[str, object]:
    """Build the documented event; it has neither `isBase64Encoded` nor `requestContext`.

    Our choice where the documentation is silent: the path is passed on unchanged, the last of several equal
    query parameters wins, and equal headers are joined with a comma.
    """
    path, _, query = target.partition("?")
    lower: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        lower[key] = f"{lower[key]}, {value}" if key in lower else value
    lower["x-scf-remote-addr"] = client
    return {
        "body": body.decode("utf-8", "replace"),
        "headers": lower,
        "httpMethod": method,
        "path": path,
        "queryString": dict(parse_qsl(query, keep_blank_values=True)),
    }


def reply_to(outcome: Outcome) -> Reply:
    """Turn the outcome of a call into a response, by SCF's rules."""
    if isinstance(outcome, Failed):
        return _platform_error(outcome.code, outcome.message, outcome.trace)
    value = outcome.value
    encoded = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    if len(encoded) > _BODY_LIMIT:
        return _platform_error(_RESPONSE_TOO_LARGE, "Response body is too large")
    if not isinstance(value, dict) or "statusCode" not in value:
        # SCF fails open: anything without statusCode, even an error object, counts as a success.
        return Reply(HTTPStatus.OK, (("Content-Type", "application/json"),), encoded)
    try:
        return _reply_of(value)
    except ValueError as error:
        # Not documented. Refused here so that tests notice malformed responses.
        return _platform_error(USER_CODE_ERROR, f"Malformed response: {error}")


def _reply_of(value: Mapping[str, object]) -> Reply:
    """Raise ValueError if the response does not have the documented form."""
    status, body, headers = value["statusCode"], value.get("body", ""), value.get("headers", {})
    if not isinstance(status, int) or not HTTPStatus.OK <= status < 600:  # noqa: PLR2004  # the end of HTTP's range
        raise ValueError("statusCode is no HTTP status of a final response")
    if not isinstance(body, str) or not isinstance(headers, dict):
        raise ValueError("body is not a string, or headers is not an object")  # noqa: TRY004  # one error for all
    pairs: list[tuple[str, str]] = []
    for name, given in headers.items():
        for one in given if isinstance(given, list) else [given]:
            if not isinstance(one, str) or not f"{name}{one}".isprintable() or not f"{name}{one}".isascii():
                raise ValueError(
                    f"header {name!r} is neither a string nor a list of strings of printable ASCII"
                )
            pairs.append((name, one))
    encoded = base64.b64decode(body, validate=True) if value.get("isBase64Encoded") is True else body.encode()
    return Reply(status, tuple(pairs), encoded)


def _platform_error(code: int, message: str, trace: str = "") -> Reply:
    # We could not confirm which HTTP status a Function URL returns here, or whether it shows the traceback.
    # Nothing may depend on either. Showing it here makes a secret in an exception visible.
    content = {"errorCode": code, "errorMessage": message, **({"stackTrace": trace} if trace else {})}
    headers = (("Content-Type", "application/json"),)
    return Reply(HTTPStatus.INTERNAL_SERVER_ERROR, headers, json.dumps(content).encode())


class FunctionUrl(ThreadingHTTPServer):
    """Listens on 127.0.0.1. Port 0 means any free port."""

    _function: Function

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Exchange)

    def serve(self, function: Function) -> None:
        """Answer requests until interrupted."""
        self._function = function
        self.serve_forever(poll_interval=0.05)

    def answer(self, event: Mapping[str, object]) -> Reply:
        """Run the function on an event."""
        if len(json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")) > _BODY_LIMIT:
            return _platform_error(_REQUEST_TOO_LARGE, "Request body is too large")
        return reply_to(self._function.call(event))


class _Exchange(BaseHTTPRequestHandler):
    server: FunctionUrl
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one segment for head and body

    def _exchange(self) -> None:
        if "transfer-encoding" in self.headers:
            self.close_connection = True
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        length = self.headers.get("content-length", "0")
        if not length.isdecimal():
            self.close_connection = True
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        if int(length) > _BODY_LIMIT:
            self.close_connection = True
            self._send(_platform_error(_REQUEST_TOO_LARGE, "Request body is too large"))
            return
        body = self.rfile.read(int(length))
        event = event_of(self.command, self.path, self.headers, body, str(self.client_address[0]))
        self._send(self.server.answer(event))

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = _exchange  # noqa: N815  # http.server

    def _send(self, reply: Reply) -> None:
        without_body = self.command == "HEAD" or reply.status in {
            HTTPStatus.NO_CONTENT,
            HTTPStatus.NOT_MODIFIED,
        }
        self.send_response(reply.status)
        for name, value in reply.headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if reply.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if not without_body:
            self.wfile.write(reply.body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        # Without the query: it may carry a signature.
        del size
        # An unreadable request line (such as TLS) has neither method nor path.
        method, path = self.command or "-", getattr(self, "path", "-").partition("?")[0]
        self.log_message("%s %s %s", method, path, str(int(code)))
