"""What stops a deployment."""

from __future__ import annotations


class DeploymentStopped(Exception):
    """The deployment cannot go on; the text says why and what to do, for a person at a terminal."""


class FileInvalid(DeploymentStopped):
    """serverless.yml is not as SCF needs it; each line of the text begins with file and line."""


class SettingsMissing(DeploymentStopped):
    """Settings are missing or malformed; the text has a line for each."""


class CallFailed(DeploymentStopped):
    """A call to the cloud failed.

    `code` is the cloud's error code; empty where no answer arrived, and then the call may have been executed.
    """

    def __init__(self, what: str, code: str, message: str) -> None:
        super().__init__(f"{what} failed: {code or 'no answer'}: {message}")
        self.code = code
