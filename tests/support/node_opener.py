"""Opens envelopes with the npm packages that people use for that."""

from __future__ import annotations

import base64
import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).with_name("node")


@dataclass
class NodeOpener:
    """A process of Node; `scripts/test` installs what it needs."""

    process: subprocess.Popen[str]

    def open(self, format_: str, **request: object) -> bytes | None:
        """Return what is in an envelope, or None where the package refuses to open it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"format": format_, **request}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return None if "refused" in answer else base64.b64decode(answer["plaintext"])


@contextmanager
def node_opener() -> Iterator[NodeOpener]:
    """Run one."""
    with subprocess.Popen(
        ["node", "serve.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield NodeOpener(process)
        process.communicate(timeout=30)
