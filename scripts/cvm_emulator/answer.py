import json
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """What goes over the wire."""

    request_id: str
    body: bytes = field(default=b"", repr=False)
    status: int = 200
    content_type: str = "application/json"
    location: str | None = None
    sent_bytes: int | None = None
    """Close the connection after this many bytes of the body, whatever Content-Length says."""
    byte_seconds: float = 0
    """How long to wait before each byte of the body."""
    cut: bool = False
    """Close the connection instead of answering."""


def error_answer(code: str, message: str, request_id: str) -> Answer:
    """Return the API's answer to a refused call."""
    return json_answer({"Error": {"Code": code, "Message": message}}, request_id)


def json_answer(result: dict[str, object], request_id: str) -> Answer:
    """Return the API's answer to a call; `result` goes beside the RequestId."""
    response = {"Response": {**result, "RequestId": request_id}}
    return Answer(request_id, json.dumps(response, separators=(",", ":")).encode())
