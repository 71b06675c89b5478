"""Runs the local Function URL as a separate process that is reached over HTTP."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.info_file import NotStarted, await_info

ROOT = Path(__file__).parents[2]


class _Text:
    """The output of a process in a file. It can be read even after the file is deleted."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._kept = ""

    def read(self) -> str:
        if not self._file.closed:
            self._file.seek(0)
            self._kept = self._file.read().decode("utf-8", "replace")
        return self._kept

    def close(self) -> None:
        self.read()
        self._file.close()


@dataclass(frozen=True)
class FunctionProcess:
    """A running local Function URL. Everything except `info` works after its end as well."""

    process: subprocess.Popen[bytes]
    url: str
    audit_log: Path
    _info: Path
    _stdout: _Text
    _stderr: _Text
    _function_stdout: _Text
    _function_stderr: _Text

    @property
    def info(self) -> dict[str, Any]:
        """Read the info file as it is now: it changes when a new instance starts."""
        content: dict[str, Any] = json.loads(self._info.read_text(encoding="utf-8"))
        return content

    @property
    def stdout(self) -> str:
        """The output of the command itself."""
        return self._stdout.read()

    @property
    def stderr(self) -> str:
        return self._stderr.read()

    @property
    def function_stdout(self) -> str:
        """The function's log so far: audit lines, log records of every level, return values."""
        return self._function_stdout.read()

    @property
    def function_stderr(self) -> str:
        return self._function_stderr.read()

    @property
    def everything_written(self) -> str:
        """Everything that left the processes other than by HTTP. A leaked secret would appear here."""
        return f"{self.stdout}\n{self.stderr}\n{self.function_stdout}\n{self.function_stderr}"

    def audit_lines(self) -> list[dict[str, Any]]:
        """Return the JSON objects in the log of the function."""
        return [json.loads(line) for line in self.function_stdout.splitlines() if line.startswith("{")]

    def kill_instance(self) -> None:
        """Kill the process that runs the function, as a crash would."""
        os.kill(self.info["instancePid"], signal.SIGKILL)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Stop the process if it is running; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(timeout=20)


def function_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "scripts.function_url", *arguments]


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return `environment` with this process's environment, without the settings of the function."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("KEYPAIR_", "TENCENTCLOUD_"))}
    return {**inherited, "PYTHONPATH": str(ROOT), **(environment or {})}


@contextmanager
def running_function(
    *,
    emulator: bool = False,
    web: bool = False,
    package: Path | None = None,
    policy: Path | None = None,
    timeout: float | None = None,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[FunctionProcess]:
    """Start `scripts/serve` with these options, wait until it is ready, and stop it at the end.

    Raises scripts.info_file.NotStarted, with what the command wrote to its standard error.
    """
    options = {"--package": package, "--policy": policy, "--timeout": timeout, "--port": port}
    arguments = [text for name, value in options.items() if value is not None for text in (name, str(value))]
    if emulator:
        arguments.append("--emulator")
    if web:
        arguments.append("--web")
    with tempfile.TemporaryDirectory(prefix="running-function-") as name, ExitStack() as cleanup:
        folder = Path(name)
        info, stdout, stderr = folder / "info.json", folder / "stdout", folder / "stderr"
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                function_command(*arguments, "--info", str(info)),
                env=clean_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        texts = [cleanup.enter_context(closing(_Text(path))) for path in (stdout, stderr)]
        cleanup.callback(_end, process)
        try:
            content = await_info(process, info, seconds=60)
        except NotStarted as error:
            raise NotStarted(f"{error}\n{stderr.read_text(encoding='utf-8')}") from error
        with ExitStack() as until_the_end:
            texts += [
                until_the_end.enter_context(closing(_Text(Path(str(content[log])))))
                for log in ("auditLog", "errorLog")
            ]
            until_the_end.callback(_end, process)
            yield FunctionProcess(process, str(content["url"]), Path(str(content["auditLog"])), info, *texts)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # has no effect on a process that was waited for
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
