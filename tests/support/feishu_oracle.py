"""What Feishu's own SDK makes of requests: `python -m tests.support.feishu_oracle FILE`, JSON on stdin.

In a process of its own, as importing that SDK takes seconds.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    sdk = importlib.import_module("lark_oapi")
    model = importlib.import_module("lark_oapi.core.model")
    asked = json.load(sys.stdin)
    heard: list[list[str]] = []

    def hear(event: object) -> None:
        data = event.event  # type: ignore[attr-defined]  # the SDK has no types
        heard.append([data.sender.sender_id.open_id, data.message.message_id, data.message.content])

    builder = sdk.EventDispatcherHandler.builder(asked["encrypt_key"], asked["verification_token"])
    dispatcher = builder.register_p2_im_message_receive_v1(hear).build()
    answers = []
    for request in asked["requests"]:
        raw = model.RawRequest()
        raw.uri = "/chat/feishu"
        # The SDK looks for these names as its own server adapters give them.
        raw.headers = {
            "-".join(part.capitalize() for part in name.split("-")): value
            for name, value in request["headers"].items()
        }
        raw.body = request["body"].encode()
        answer = dispatcher.do(raw)
        answers.append([answer.status_code, answer.content.decode()])
    # The SDK logs on stdout.
    Path(sys.argv[1]).write_text(json.dumps({"answers": answers, "heard": heard}))


if __name__ == "__main__":
    main()
