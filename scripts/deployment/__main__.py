"""`scripts/deploy`: puts the function into an account, and looks after it there."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from scripts.deployment import operations, smoke, steps
from scripts.deployment.account import Account, DeployedFunction, Owner
from scripts.deployment.cloud import Identity, TencentCloud
from scripts.deployment.cos import Bucket
from scripts.deployment.desired import Desired
from scripts.deployment.errors import DeploymentStopped, SettingsMissing
from scripts.deployment.function_settings import (
    MASTER_SECRET,
    PREVIOUS_MASTER_SECRET,
    REQUIRED,
    RETIRED_MASTER_SECRETS,
    STORE,
    FunctionSettings,
    environment_of,
    new_master_secret,
)
from scripts.deployment.logs import print_logs
from scripts.deployment.package import SETTINGS, Package
from scripts.deployment.plan import plan
from scripts.deployment.policy_change import policy_steps
from scripts.deployment.serverless_file import ServerlessFile, unnamed_settings
from scripts.deployment.status import print_status
from scripts.packaging.__main__ import main as build
from scripts.policy_file import PolicyUnusable, check_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Terminal:
    """The person at the other side, and time."""

    out: TextIO
    error: TextIO
    confirm: Callable[[str], bool]
    sleep: Callable[[float], None] = time.sleep

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.out, flush=True)

    def progress(self, done: int, total: int) -> None:
        """Show how far an upload is: a bar where somebody sees it, else nothing until its end."""
        bar = "#" * (40 * done // total)
        if self.out.isatty():
            print(
                f"\r  [{bar:<40}] {done / 1e6:.1f} of {total / 1e6:.1f} MB", end="", file=self.out, flush=True
            )
        if done == total:
            print("" if self.out.isatty() else f"  {total / 1e6:.1f} MB sent", file=self.out, flush=True)


def _confirm(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


@dataclass(frozen=True)
class Deployer:
    """One run of the command: its options, its environment, and what it was given to work with."""

    options: argparse.Namespace
    environment: Mapping[str, str]
    root: Path
    terminal: Terminal
    cloud: TencentCloud
    file: ServerlessFile

    def require_eyes(self) -> None:
        """Raise DeploymentStopped unless a person reads the new master secret that is about to be shown."""
        # A log of CI would keep it, and whoever reads that could sign as any caller.
        if not (self.terminal.out.isatty() or self.options.print):
            raise DeploymentStopped(
                "The new master secret is shown once, and the output is not a terminal. Nothing was changed. "
                "Run this in a terminal, or again with --print."
            )

    @property
    def function(self) -> dict[str, str]:
        """The parameters that name the function."""
        return {"FunctionName": self.file.inputs.name, "Namespace": self.file.inputs.namespace}

    def deployed(self) -> DeployedFunction:
        """Return the function; raise DeploymentStopped if there is none."""
        found = DeployedFunction.read(self.cloud, self.function)
        if found is None:
            name, region = self.file.inputs.name, self.cloud.region
            raise DeploymentStopped(f"There is no function {name} in {region}. Run scripts/deploy apply.")
        return found

    def execute(self, planned: list[steps.Step], known: steps.Known, bucket: Bucket | None = None) -> None:
        """Run steps and show each."""
        tools = steps.Tools(
            cloud=self.cloud,
            bucket=bucket,
            sleep=self.terminal.sleep,
            say=lambda purpose: self.terminal.say(f"- {purpose}"),
            progress=self.terminal.progress,
            check=lambda url: smoke.check(url, self.terminal.sleep),
        )
        steps.run(planned, tools, known)

    def bucket(self, owner: Owner, package: Package) -> Bucket | None:
        """Return the bucket that the package has to go through; None if it fits into a call."""
        if package.fits_into_a_call and not self.options.bucket:
            return None
        name = self.options.bucket or f"keypair-function-{owner.app_id}"
        if not name.endswith(f"-{owner.app_id}"):
            name = f"{name}-{owner.app_id}"
        return Bucket(name, self.cloud.region, self.cloud.identity, self.options.endpoint)

    def confirmed(self, question: str) -> bool:
        """Ask, unless --yes answers."""
        return self.options.yes or self.terminal.confirm(question)


_MASTER_SECRETS = (MASTER_SECRET, PREVIOUS_MASTER_SECRET, RETIRED_MASTER_SECRETS)


def plan_or_apply(deployer: Deployer) -> None:
    """Plan, and with `apply` run the plan."""
    options, terminal = deployer.options, deployer.terminal
    owner = Owner.read(deployer.cloud)
    function = DeployedFunction.read(deployer.cloud, deployer.function)
    settings = _settings(deployer, function)
    package = _package(deployer, settings)
    settings.check_store_for(package.policy)
    desired = Desired(
        file=deployer.file,
        settings=settings,
        package=package,
        key_pair_regions=check_policy(options.policy).regions,
        bucket=deployer.bucket(owner, package),
        with_role=options.with_role,
        keep_object=options.keep_object,
    )
    account = Account.read(deployer.cloud, owner, function, desired)
    planned, known = plan(desired, account)
    if options.command == "plan":
        _show_plan(planned, terminal, as_json=options.json)
        return
    for step in planned:
        if isinstance(step, steps.MakeBucket) and not deployer.confirmed(
            f"The code is too large for a call of the API. Make the bucket {step.bucket.name} for it?"
        ):
            raise DeploymentStopped(
                f"The code has to go through a bucket of COS, and {step.bucket.name} does not exist. Nothing "
                "was changed. Run again with --yes to have it made, or name another with --bucket."
            )
    removed = [
        step.purpose for step in planned if isinstance(step, steps.Call) and step.action == "DeleteTrigger"
    ]
    if removed and not deployer.confirmed(f"This will {'; '.join(removed)}. Continue?"):
        raise DeploymentStopped(
            f"This would {'; '.join(removed)}. Nothing was changed. If that is wanted: --yes. "
            "Otherwise name the timer in serverless.yml."
        )
    deployer.execute(planned, known, desired.bucket)
    terminal.say(f"\nThe function answers at {known['url']}")


def _settings(deployer: Deployer, existing: DeployedFunction | None) -> FunctionSettings:
    """Return the settings; the master secrets that are not set here are kept as the function has them."""
    options, variables = deployer.options, dict(deployer.file.inputs.environment.variables)
    there = operations.settings_of(existing.configuration) if existing else {}
    own = variables.get(MASTER_SECRET)
    if own and own == there.get(PREVIOUS_MASTER_SECRET):
        raise SettingsMissing(
            "KEYPAIR_MASTER_SECRET is the one before the last rotation. Remove it from the environment and "
            ".env: the function keeps its own; or set it to the new one."
        )
    for name in _MASTER_SECRETS:
        if name not in variables and name in there:
            variables[name] = there[name]
    if not _secrets_in(there) <= _secrets_in(variables):
        raise SettingsMissing(
            "A master secret of the function is not among the KEYPAIR_…MASTER_SECRET… settings here: callers "
            "could not sign any more, or the sweeper would not know the key pairs that were made under it. "
            "Remove these settings from the environment and .env: the function keeps its own. To replace the "
            "secret: scripts/deploy secrets rotate."
        )
    if options.new_master_secret and MASTER_SECRET not in variables:
        # A plan masks it and changes nothing: nobody is to write that one down.
        planning = options.command == "plan"
        variables[MASTER_SECRET] = new_master_secret() if planning else _new_secret(deployer)
    try:
        return FunctionSettings.checked(variables)
    except SettingsMissing as error:
        hint = "" if MASTER_SECRET in variables else "\n(--new-master-secret makes a master secret.)"
        raise SettingsMissing(f"{error}{hint}") from None


def _secrets_in(settings: Mapping[str, str]) -> set[str]:
    """Return all master secrets in settings."""
    parts = (part.strip() for name in _MASTER_SECRETS for part in settings.get(name, "").split(","))
    return {part for part in parts if part}


def _new_secret(deployer: Deployer) -> str:
    deployer.require_eyes()
    made = new_master_secret()
    deployer.terminal.say(
        "A new master secret, shown this once: keep it where secrets are kept.\n\n"
        f"  KEYPAIR_MASTER_SECRET={made}\n"
    )
    return made


def _package(deployer: Deployer, settings: FunctionSettings) -> Package:
    built: Path | None = deployer.options.package
    if built is not None:
        return Package.of(built.read_bytes(), {SETTINGS: settings.packed()})
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "function.zip"
        arguments = ["--output", str(output), "--policy", str(deployer.options.policy)]
        arguments += ["--with", "openpgp"] if deployer.options.with_openpgp else []
        environment = {**deployer.environment, STORE: settings.values[STORE]}
        if build(arguments, root=deployer.root, environment=environment) != 0:
            raise DeploymentStopped("The package could not be built; nothing was changed.")
        return Package.of(output.read_bytes(), {SETTINGS: settings.packed()})


def _show_plan(planned: list[steps.Step], terminal: Terminal, *, as_json: bool) -> None:
    calls = [step.planned() for step in planned]
    if as_json:
        terminal.say(json.dumps(calls, indent=2, ensure_ascii=False))
        return
    for number, (step, call) in enumerate(zip(planned, calls, strict=True), start=1):
        terminal.say(f"{number}. {step.purpose}: {call['service']} {call['action']}")
        terminal.say("   " + json.dumps(call["parameters"], ensure_ascii=False))
    if all(isinstance(step, steps.Smoke) for step in planned):
        terminal.say("Nothing to change.")


def roll_back(deployer: Deployer) -> None:
    """Send requests to an earlier version."""
    options, deployed = deployer.options, deployer.deployed()
    planned = operations.roll_back(
        deployer.cloud,
        deployer.function,
        deployed,
        options.to,
        with_secrets=options.with_secrets,
        with_policy=options.with_policy,
    )
    deployer.execute(planned, {"url": deployed.url or ""})


def secrets(deployer: Deployer) -> None:
    """Bring in a new master secret, or end the time in which the previous one is accepted."""
    deployed = deployer.deployed()
    new = new_master_secret() if deployer.options.what == "rotate" else None
    planned = operations.rotate(deployer.function, deployed, new)
    if new is not None:
        deployer.require_eyes()
    if new is not None:
        deployer.terminal.say(
            "The new master secret, shown this once: keep it where secrets are kept, and put it into the "
            f"environment or .env if that has one.\n\n  KEYPAIR_MASTER_SECRET={new}\n"
        )
    deployer.execute(planned, {"url": deployed.url or ""})
    if new is not None:
        deployer.terminal.say(
            "Both secrets are accepted now. Hand out callers' new secrets (scripts/policy secret), then run "
            "scripts/deploy secrets finish."
        )


def policy(deployer: Deployer) -> None:
    """Replace the policy alone, in the code that is deployed."""
    options, deployed = deployer.options, deployer.deployed()
    owner = Owner.read(deployer.cloud)
    planned, bucket = policy_steps(
        deployer.cloud, deployer.function, deployed, bucket_for=deployer.bucket, owner=owner, options=options
    )
    deployer.execute(planned, {"url": deployed.url or ""}, bucket)


def destroy(deployer: Deployer) -> None:
    """Remove the function."""
    options, terminal = deployer.options, deployer.terminal
    deployed = DeployedFunction.read(deployer.cloud, deployer.function)
    role = deployer.file.inputs.role if options.with_role and not options.url_only else None
    planned = operations.destroy(deployer.function, deployed, role, deployer.cloud, url_only=options.url_only)
    if not planned:
        terminal.say("There is nothing to remove.")
        return
    for step in planned:
        terminal.say(f"Will {step.purpose}.")
    if not deployer.confirmed("Continue? The URL cannot be recovered."):
        raise DeploymentStopped("Nothing was changed. --yes confirms.")
    deployer.execute(planned, {})
    if not options.url_only:
        logs = deployer.file.deployment.logs
        topic = f"the log topic {logs.topic} with its logs, " if logs else ""
        kept_role = "" if options.with_role else "the role and its policies (--with-role removes them), "
        terminal.say(
            f"What stays: {topic}{kept_role}the bucket, and every key pair that was issued. No sweeper "
            "removes expired key pairs any more."
        )


_COMMANDS: dict[str, Callable[[Deployer], None]] = {
    "plan": plan_or_apply,
    "apply": plan_or_apply,
    "status": lambda deployer: print_status(deployer.deployed(), deployer.terminal.say),
    "logs": lambda deployer: print_logs(
        deployer.cloud,
        deployer.deployed(),
        deployer.options.hours,
        deployer.terminal.say,
        audit=deployer.options.audit,
    ),
    "rollback": roll_back,
    "destroy": destroy,
    "secrets": secrets,
    "policy": policy,
}


def main(
    arguments: Sequence[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    root: Path = ROOT,
    terminal: Terminal | None = None,
) -> int:
    """Run one command; return 0, 1 if it stopped on the way, or 2 if something that it needs is missing."""
    options = _options(root).parse_args(arguments)
    terminal = terminal or Terminal(sys.stdout, sys.stderr, _confirm)
    environment = environment_of(root) if environment is None else environment
    try:
        _COMMANDS[options.command](_deployer(options, environment, root, terminal))
    except SettingsMissing as error:
        print("\n".join(f"scripts/deploy: {line}" for line in str(error).splitlines()), file=terminal.error)
        return 2
    except (DeploymentStopped, PolicyUnusable) as error:
        print(f"scripts/deploy: {error}", file=terminal.error)
        return 1
    return 0


def _deployer(
    options: argparse.Namespace, environment: Mapping[str, str], root: Path, terminal: Terminal
) -> Deployer:
    """Return what a command works with; raise SettingsMissing, which lists all that is missing at once."""
    problems: list[str] = []
    identity: Identity | None = None
    try:
        identity = Identity.of(environment)
    except SettingsMissing as error:
        problems.append(str(error))
    deploys = options.command in {"plan", "apply"}
    needed = REQUIRED if deploys else REQUIRED[:1]
    problems += [
        f"{name} is not set, neither in the environment nor in .env"
        for name in needed
        # A master secret may be there already: only the function can tell.
        if not environment.get(name)
        and (name != MASTER_SECRET or (problems and not options.new_master_secret))
    ]
    if deploys or options.command == "policy":
        if not options.policy.is_file():
            problems.append(f"There is no policy at {options.policy}. Start from policy.example.toml.")
        else:
            check_policy(options.policy)
    if deploys and options.file.is_file():
        problems += [
            f"{name} is set, but {options.file.name} does not name it; correct it, or name it there"
            for name in unnamed_settings(options.file, environment)
        ]
    if problems or identity is None:
        raise SettingsMissing("\n".join(problems))
    file = ServerlessFile.read(options.file, environment)
    cloud = TencentCloud(identity, file.inputs.region, options.endpoint)
    return Deployer(options, environment, root, terminal, cloud, file)


def _options(root: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/deploy", description="Deploy the function to SCF.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--file", type=Path, default=root / "serverless.yml", help="default: serverless.yml")
    common.add_argument(
        "--endpoint", metavar="URL", help="an imitation of the cloud instead of the cloud (for tests)"
    )

    def may_ask(one: argparse.ArgumentParser) -> None:
        one.add_argument("--yes", action="store_true", help="answer every question with yes")

    code = argparse.ArgumentParser(add_help=False, parents=[common])
    may_ask(code)
    code.add_argument("--bucket", metavar="NAME", help="the bucket that code goes through")
    code.add_argument("--keep-object", action="store_true", help="leave the uploaded code in the bucket")
    code.add_argument(
        "--policy", type=Path, metavar="FILE", default=root / "policy.toml", help="default: policy.toml"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, parent: argparse.ArgumentParser = common) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[parent], help=text, description=text)

    def may_print(one: argparse.ArgumentParser) -> None:
        one.add_argument(
            "--print", action="store_true", help="show the new master secret even if a pipe or file gets it"
        )

    for name, text in (
        ("plan", "Show every call that apply would make; change nothing."),
        ("apply", "Deploy, the first time or again; goes on where an earlier run ended."),
    ):
        one = command(name, text, code)
        one.add_argument("--with-role", action="store_true", help="make the role and its policies as well")
        one.add_argument(
            "--new-master-secret", action="store_true", help="make a master secret if there is none yet"
        )
        one.add_argument(
            "--package", type=Path, metavar="ZIP", help="deploy this package of scripts/build; build none"
        )
        one.add_argument(
            "--with-openpgp", action="store_true", help="build what sealing to PGP keys needs too"
        )
        if name == "plan":
            one.add_argument("--json", action="store_true", help="print the plan as JSON")
        else:
            may_print(one)
    command("status", "Show what is deployed.")
    logs = command("logs", "Print the function's log.")
    logs.add_argument("--hours", type=float, default=1.0, help="how far back (default: 1)")
    logs.add_argument("--audit", action="store_true", help="audit lines only")
    back = command("rollback", "Send requests to an earlier version.")
    back.add_argument("--to", metavar="VERSION", help="default: the version before the present one")
    back.add_argument("--with-secrets", action="store_true", help="even if its master secret is another")
    back.add_argument("--with-policy", action="store_true", help="even if its policy is another")
    end = command("destroy", "Remove the function; says what stays.")
    end.add_argument("--with-role", action="store_true", help="remove the role and its policies as well")
    may_ask(end)
    end.add_argument("--url-only", action="store_true", help="remove the Function URL alone, at once")
    secret = command("secrets", "Rotate the master secret.")
    secret.add_argument(
        "what", choices=["rotate", "finish"], help="bring in a new one; stop accepting the old one"
    )
    may_print(secret)
    change = command("policy", "Replace the policy alone: takes effect within a minute.", code)
    change.add_argument(
        "--allow-lockout", action="store_true", help="even if no operator is left who may ask for anything"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
