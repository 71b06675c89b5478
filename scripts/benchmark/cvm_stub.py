"""A CVM that answers at once, in a process of its own: what is measured is the function, not the cloud.

Runs as `python -m scripts.benchmark.cvm_stub FOLDER`. Writes FOLDER/ca.pem, the authority to trust, prints
its address, and serves over TLS, as the cloud does, until it is ended. The emulator imitates the cloud, which
takes time and has rate limits; this one knows three actions and hands out the same key each time.
`GET /calls` tells how often each action was called, and over how many connections.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from scripts.cvm_emulator.certificates import tls_context
from scripts.cvm_emulator.server import LoopbackServer, QuietHandler

_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_PRIVATE = _KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
_PUBLIC = _KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


class StubHandler(QuietHandler):
    """Answers CreateKeyPair, ModifyKeyPairAttribute and DescribeKeyPairs."""

    pairs: dict[str, dict[str, object]]
    calls: Counter[str]

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self.calls["connections"] += 1

    def do_GET(self) -> None:  # noqa: N802 -- the base class names it so
        """Tell what was called since the last time."""
        self._answer(dict(self.calls))
        self.calls.clear()

    def do_POST(self) -> None:  # noqa: N802 -- as above
        """Answer a call."""
        asked, action = json.loads(self.body() or b"{}"), self.headers["X-TC-Action"]
        self.calls[action] += 1
        self._answer({"Response": {**self._response(action, asked), "RequestId": "stub"}})

    def _response(self, action: str, asked: dict[str, object]) -> dict[str, object]:
        if action == "CreateKeyPair":
            return {"KeyPair": {**self._created(asked), "PrivateKey": _PRIVATE}}
        if action == "ModifyKeyPairAttribute":
            self.pairs[str(asked["KeyId"])]["Description"] = asked["Description"]
            return {}
        ids = asked.get("KeyIds")
        found = (
            [self.pairs[key_id] for key_id in ids if key_id in self.pairs] if isinstance(ids, list) else []
        )
        return {"KeyPairSet": found, "TotalCount": len(found)}

    def _created(self, asked: dict[str, object]) -> dict[str, object]:
        key_id = f"skey-{len(self.pairs):08}"
        specification = asked.get("TagSpecification")
        self.pairs[key_id] = {
            "KeyId": key_id,
            "KeyName": asked["KeyName"],
            "PublicKey": _PUBLIC,
            "Description": "",
            "CreatedTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "Tags": specification[0]["Tags"] if isinstance(specification, list) else [],
            "AssociatedInstanceIds": [],
        }
        return self.pairs[key_id]

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.wfile.write(body)


def main(folder: Path) -> None:
    """Serve."""
    StubHandler.pairs, StubHandler.calls = {}, Counter()
    context, _ = tls_context(folder)
    server = LoopbackServer(0, StubHandler, context)
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
