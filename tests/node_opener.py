"""Opens envelopes with the npm packages that people use for that."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

FOLDER = Path(__file__).with_name("node")


@dataclass
class NodeOpener:
    """A process of Node; `scripts/test` installs what it needs."""

    def __enter__(self) -> NodeOpener:
        self._process = subprocess.Popen(
            ["node", "serve.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=30)

    def open(self, format_: str, **request: object) -> bytes | None:
        """Return what is in an envelope, or None where the package refuses to open it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"format": format_, **request}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return None if "refused" in answer else base64.b64decode(answer["plaintext"])
