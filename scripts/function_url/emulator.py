"""The CVM emulator as a child process of the local Function URL."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.info_file import NotStarted, await_info


@dataclass(frozen=True)
class Emulator:
    """The address of a running emulator, and the cloud credentials that it accepts."""

    cvm_endpoint: str
    control_url: str
    secret_id: str
    secret_key: str
    token: str

    def credentials(self) -> dict[str, str]:
        """Return them under the names that SCF uses for the execution role's credentials."""
        # https://cloud.tencent.com/document/product/583/40142
        return {
            "TENCENTCLOUD_SECRETID": self.secret_id,
            "TENCENTCLOUD_SECRETKEY": self.secret_key,
            "TENCENTCLOUD_SESSIONTOKEN": self.token,
        }


@contextmanager
def running_emulator(folder: Path) -> Iterator[Emulator]:
    """Run the emulator, with its info file and log in `folder`. Raises NotStarted, with the log's text."""
    info_path, log_path = folder / "emulator.json", folder / "emulator.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.cvm_emulator", "--info", str(info_path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # on Ctrl-C the function must stop first
        )
    try:
        try:
            info = await_info(process, info_path, seconds=30)
        except NotStarted as error:
            raise NotStarted(f"The emulator {error}.\n{log_path.read_text(errors='replace')}") from error
        yield Emulator(
            cvm_endpoint=str(info["cvmEndpoint"]),
            control_url=str(info["controlUrl"]),
            secret_id=str(info["secretId"]),
            secret_key=str(info["secretKey"]),
            token=str(info["token"]),
        )
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
