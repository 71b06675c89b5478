"""`scripts/verify-live`: five minutes on a real account that tell which assumptions hold there."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.deployment.cloud import Identity, TencentCloud
from scripts.deployment.errors import CallFailed, DeploymentStopped, SettingsMissing
from scripts.deployment.function_settings import REGION, environment_of
from scripts.deployment.serverless_file import ServerlessFile
from scripts.verification.checks import ASSUMPTIONS, Finding, Status
from scripts.verification.live import probing
from scripts.verification.report import as_json, as_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scripts.deployment.cloud import Cloud
    from scripts.verification.checks import Assumption
    from scripts.verification.live import Live

ROOT = Path(__file__).parents[2]


def verify(cloud: Cloud, file: ServerlessFile, sleep: Callable[[float], None]) -> dict[str, Finding]:
    """Check every assumption; raise DeploymentStopped if not even the probe can be deployed."""
    findings: dict[str, Finding] = {}
    try:
        with probing(cloud, file, sleep) as live:
            for assumption in ASSUMPTIONS:
                findings[assumption.id] = _checked(assumption, live, findings)
    except CallFailed as failure:
        if findings or "Runtime" not in failure.code:
            raise
        findings = {one.id: Finding(Status.NOT_CHECKED, "needs the probe function") for one in ASSUMPTIONS}
        findings["runtime"] = Finding(Status.BROKEN, f"SCF refuses {file.inputs.runtime}: {failure.code}")
    return findings


def _checked(assumption: Assumption, live: Live, findings: Mapping[str, Finding]) -> Finding:
    rights = findings.get("role-rights")
    if assumption.needs_rights and rights is not None and rights.status is Status.BROKEN:
        return Finding(Status.NOT_CHECKED, "needs the rights of the role")
    try:
        return assumption.check(live)
    except (DeploymentStopped, KeyError, ValueError) as error:
        return Finding(Status.NOT_CHECKED, f"the check could not be made: {type(error).__name__}: {error}")


def main(
    arguments: Sequence[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Check; return 0 if nothing is broken, 1 if something is, 2 if it cannot be checked."""
    options = _options().parse_args(arguments)
    environment = environment_of(ROOT) if environment is None else environment
    try:
        if not environment.get(REGION):
            raise SettingsMissing(f"{REGION} is not set, neither in the environment nor in .env")
        file = ServerlessFile.read(options.file, environment)
        cloud = TencentCloud(Identity.of(environment), file.inputs.region, options.endpoint)
        findings = verify(cloud, file, sleep)
    except DeploymentStopped as error:
        print(f"scripts/verify-live: {error}", file=sys.stderr)
        return 2
    report = as_markdown(findings, file.inputs.region)
    print(report, end="")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "verify-live.md").write_text(report, "utf-8")
        (options.output / "verify-live.json").write_text(as_json(findings, file.inputs.region), "utf-8")
    return 1 if any(finding.status is Status.BROKEN for finding in findings.values()) else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/verify-live",
        description="Deploy a probe function, check what this project assumes of the cloud, and remove it.",
    )
    parser.add_argument("--file", type=Path, default=ROOT / "serverless.yml", help="default: serverless.yml")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write the report there too, also as JSON"
    )
    parser.add_argument("--endpoint", metavar="URL", help="an imitation of the cloud (for tests)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
