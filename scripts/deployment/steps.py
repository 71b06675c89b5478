"""The steps of a deployment: each one can show itself in a plan, and run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from scripts.deployment.errors import CallFailed, DeploymentStopped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.deployment.cloud import Cloud
    from scripts.deployment.cos import Bucket
    from scripts.deployment.package import Package

ACTIVE = "Active"
_FAILED = ("CreateFailed", "UpdateFailed", "PublishFailed", "DeleteFailed")
_POLL_SECONDS = 2.0
_POLLS = 150
"""Together five minutes: Tencent documents no bound for the time until a function is Active."""

Known = dict[str, str]
"""What earlier steps learned: `url`, `version`, `logset`, `topic`."""


@dataclass(frozen=True)
class Late:
    """A value in a call's parameters that a plan cannot show: a secret, or what an earlier step learns."""

    shown: Any
    value: Callable[[Known], Any] = field(repr=False)


def secret(value: str) -> Late:
    """Return a value that a plan masks."""
    return Late("***", lambda _: value)


def learned(name: str) -> Late:
    """Return a value that an earlier step learns under `name`."""
    return Late(f"<{name}>", lambda known: known[name])


def shown(parameters: Any) -> Any:  # noqa: ANN401  # any JSON, with Late values in it
    """Return parameters as a plan shows them."""
    return _mapped(parameters, lambda late: late.shown)


def _mapped(value: Any, of: Callable[[Late], Any]) -> Any:  # noqa: ANN401  # as above
    if isinstance(value, Late):
        return of(value)
    if isinstance(value, dict):
        return {key: _mapped(item, of) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, of) for item in value]
    return value


@dataclass(frozen=True)
class Tools:
    """What steps run with."""

    cloud: Cloud
    bucket: Bucket | None
    sleep: Callable[[float], None]
    say: Callable[[str], None]
    progress: Callable[[int, int], None]
    """Told how many bytes of how many are uploaded."""
    check: Callable[[str], None]
    """Asks the function at a URL; raises DeploymentStopped if it does not answer as it has to."""


class Step(Protocol):
    """One step; `purpose` says what it is for, and after a failure, what has been done."""

    @property
    def purpose(self) -> str:
        """A short sentence without a subject, such as 'make the function'."""

    def planned(self) -> dict[str, Any]:
        """Return the call that it makes: service, action, parameters."""

    def run(self, tools: Tools, known: Known) -> None:
        """Make the call; raise DeploymentStopped."""


@dataclass(frozen=True)
class Call:
    """A call of the API."""

    service: str
    action: str
    parameters: Mapping[str, Any]
    purpose: str
    learn: Callable[[Mapping[str, Any], Known], None] | None = None
    """Takes what later steps need out of the answer."""

    def planned(self) -> dict[str, Any]:
        """Return the call with its secrets masked."""
        return {"service": self.service, "action": self.action, "parameters": shown(dict(self.parameters))}

    def run(self, tools: Tools, known: Known) -> None:
        """Make the call."""
        parameters = _mapped(dict(self.parameters), lambda late: late.value(known))
        answer = tools.cloud.call(self.service, self.action, parameters)
        if self.learn:
            self.learn(answer, known)


@dataclass(frozen=True)
class WaitUntilActive:
    """Waits for the function: SCF takes no change of one that is not Active (583/115197)."""

    function: Mapping[str, str]
    """FunctionName and Namespace."""

    purpose = "wait until the function is active"

    def planned(self) -> dict[str, Any]:
        """Return the call that is repeated."""
        return {"service": "scf", "action": "GetFunction", "parameters": dict(self.function), "until": ACTIVE}

    def run(self, tools: Tools, known: Known) -> None:
        """Poll; raise DeploymentStopped if the function failed, or takes longer than five minutes."""
        del known
        for _ in range(_POLLS):
            found = tools.cloud.call("scf", "GetFunction", self.function)
            status = found["Status"]
            if status == ACTIVE:
                return
            if status in _FAILED:
                reasons = [str(reason.get("ErrorMessage")) for reason in found.get("StatusReasons") or []]
                raise DeploymentStopped(f"SCF says {status}: {'; '.join(reasons) or 'no reason given'}")
            tools.sleep(_POLL_SECONDS)
        raise DeploymentStopped(f"The function is still {status} after five minutes. Run this again later.")


@dataclass(frozen=True)
class MakeBucket:
    """Makes the bucket through which the code goes."""

    bucket: Bucket

    @property
    def purpose(self) -> str:
        """Which bucket."""
        return f"make the bucket {self.bucket.name}"

    def planned(self) -> dict[str, Any]:
        """Return the request."""
        return {"service": "cos", "action": "PUT Bucket", "parameters": {"Bucket": self.bucket.name}}

    def run(self, tools: Tools, known: Known) -> None:
        """Make it."""
        del tools, known
        self.bucket.create()


@dataclass(frozen=True)
class Upload:
    """Stores the package in the bucket."""

    bucket: Bucket
    key: str
    package: Package

    @property
    def purpose(self) -> str:
        """Where to."""
        return f"upload the code to cos://{self.bucket.name}/{self.key}"

    def planned(self) -> dict[str, Any]:
        """Return the request."""
        parameters = {
            "Bucket": self.bucket.name,
            "Key": self.key,
            "Content": _content(self.package),
        }
        return {"service": "cos", "action": "PUT Object", "parameters": parameters}

    def run(self, tools: Tools, known: Known) -> None:
        """Upload it."""
        del known
        total = len(self.package.content)
        self.bucket.put(self.key, self.package.content, lambda sent: tools.progress(sent, total))


@dataclass(frozen=True)
class RemoveObject:
    """Removes the package from the bucket: SCF has its own copy."""

    bucket: Bucket
    key: str

    purpose = "remove the uploaded code from the bucket"

    def planned(self) -> dict[str, Any]:
        """Return the request."""
        parameters = {"Bucket": self.bucket.name, "Key": self.key}
        return {"service": "cos", "action": "DELETE Object", "parameters": parameters}

    def run(self, tools: Tools, known: Known) -> None:
        """Remove it."""
        del tools, known
        self.bucket.delete(self.key)


@dataclass(frozen=True)
class Smoke:
    """Sends the function test requests."""

    purpose = "send the function test requests"

    def planned(self) -> dict[str, Any]:
        """Return the requests."""
        parameters = {"GET": "<url>/healthz", "POST": "<url>/v1/key-pairs without a signature"}
        return {"service": "function", "action": "requests", "parameters": parameters}

    def run(self, tools: Tools, known: Known) -> None:
        """Make them."""
        tools.check(known["url"])


def inline(package: Package) -> Late:
    """Return the package as a parameter."""
    return Late(_content(package), lambda _: package.base64())


def _content(package: Package) -> str:
    return f"<{len(package.content)} bytes, sha256 {package.sha256}>"


def run(steps: list[Step], tools: Tools, known: Known) -> None:
    """Run steps in order; a failure says what was done before, and that running again goes on."""
    done: list[str] = []
    for step in steps:
        tools.say(step.purpose)
        try:
            step.run(tools, known)
        except DeploymentStopped as error:
            raise DeploymentStopped(_report(step, error, done)) from error
        done.append(step.purpose)


def _report(step: Step, error: DeploymentStopped, done: list[str]) -> str:
    lines = [f"Could not {step.purpose}.", str(error)]
    if isinstance(error, CallFailed):
        lines.append(advice(error.code))
    lines.append("Done before that: " + ("; ".join(done) or "nothing") + ".")
    lines.append(
        "All of that stays as it is. Run the same command again: it looks first, and goes on from there."
    )
    return "\n".join(lines)


_ADVICE = (
    ("", "No answer arrived, so the call may have been executed."),
    (
        "AuthFailure",
        "The deployer's key is not accepted: check TENCENTCLOUD_SECRET_ID, _SECRET_KEY and the clock.",
    ),
    (
        "UnauthorizedOperation",
        "The deployer lacks a right: docs/operations.md lists what a deployer needs, action by action.",
    ),
    ("AccessDenied", "The deployer has no right to this bucket: docs/operations.md, 'Least rights'."),
    ("BucketAlreadyExists", "The name is taken by somebody else's bucket: choose another with --bucket."),
    ("LimitExceeded", "A quota of the account is used up: delete what is no longer needed, or ask for more."),
    ("ResourceInUse", "Something of that name exists already; the next run finds it."),
    (
        "InvalidParameterValue.Role",
        "The role does not exist: use --with-role, or make it as docs/deploy.md says.",
    ),
    ("RequestLimitExceeded", "Too many calls at once: wait a moment."),
)


def advice(code: str) -> str:
    """Return what to do about an error code of the cloud."""
    for family, text in _ADVICE:
        if code.startswith(family) if family else not code:
            return text
    return "The message above is the cloud's own."
