"""What the commands of the documents need: tools, environment, and a policy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support.function_process import ROOT, FunctionProcess

if TYPE_CHECKING:
    from pathlib import Path

TCCLI = ROOT / ".venv" / "tccli" / "bin" / "tccli"


def policy_with(folder: Path, recipient: str) -> Path:
    """Write a policy in which `demo`'s recipient is registered, for clients that can send none."""
    policy = folder / "policy.toml"
    policy.write_text(
        f'[callers.demo]\ntc3 = true\nrecipients = ["{recipient}"]\n'
        '[[callers.demo.grants]]\nnames = ["*"]\nregions = ["ap-guangzhou"]\nown_recipients = true\n'
    )
    return policy


def caller_environment(function: FunctionProcess) -> dict[str, str]:
    """What the commands of docs/reference.md expect of a caller's environment."""
    return {
        "PATH": os.environ["PATH"],
        "FUNCTION_URL": function.url.rstrip("/"),
        "SECRET_ID": function.info["secretId"],
        "SECRET_KEY": function.info["secretKey"],
    }
