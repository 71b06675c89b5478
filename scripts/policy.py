"""Checks and explains a policy file, and prints the secret of a caller.

The secret is derived from KEYPAIR_MASTER_SECRET, which is read from the environment.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from handler import sealing
from handler.api.rest import KeyPairRequest
from handler.auth.master_secret import MasterSecrets, Purpose
from handler.errors import NotGranted, RecipientRefused
from handler.order import Action
from handler.policy.evaluation import granted_order
from handler.policy.grants import ExistingKeyPair
from handler.sealing.recipient_problems import RecipientProblem
from handler.settings import PREFIX, decode_secret
from scripts.policy_file import PolicyUnusable, check_policy

if TYPE_CHECKING:
    from handler.order import KeyPairOrder
    from handler.policy.model import Caller, Policy

ROOT = Path(__file__).parents[1]
_UNUSABLE = 2
"""Exit status for unusable arguments or files, as in argparse."""


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    parser = argparse.ArgumentParser(prog="scripts/policy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check a policy file and say what to correct")
    check.add_argument("file", type=Path)
    explain = commands.add_parser("explain", help="say why a request is allowed or refused")
    explain.add_argument("file", type=Path)
    explain.add_argument("--caller", required=True)
    explain.add_argument("--name", required=True, help="the name of the key pair")
    explain.add_argument("--action", choices=[action.value for action in Action], default="create")
    explain.add_argument(
        "--owner", metavar="CALLER", help="who got the key pair to list or delete; default: the caller"
    )
    explain.add_argument("--region", help="default: the first region that the caller is granted")
    explain.add_argument("--project", type=int, default=0)
    explain.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE")
    explain.add_argument("--expires-in", metavar="DURATION", help="such as 12h or 30d")
    explain.add_argument(
        "--recipient",
        action="append",
        default=[],
        help="a recipient in the request; default: the registered ones",
    )
    secret = commands.add_parser("secret", help="print the secret of a caller, to hand it over")
    secret.add_argument("caller")
    secret.add_argument(
        "--v2", action="store_true", help="print the secret for the legacy API v2, which is a different one"
    )
    secret.add_argument(
        "--policy", type=Path, metavar="FILE", default=ROOT / "policy.toml", help="default: policy.toml"
    )
    secret.add_argument("--print", action="store_true", help="print it even if the output is not a terminal")
    options = parser.parse_args(arguments)
    if options.command == "check":
        return _check(options.file)
    if options.command == "explain":
        return _explain(options)
    return _secret(options, may_print=options.print or sys.stdout.isatty())


def _check(file: Path) -> int:
    try:
        check_policy(file)
    except PolicyUnusable as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{file}: ok")
    return 0


_VIOLATIONS = {
    "action": "the action is not in actions",
    "name": "the name matches no pattern in names",
    "project": "the project is not in projects",
    "region": "the region is not in regions",
    "required-tag": "a tag of required_tags is missing, or its value does not match",
    "tag": "a tag is not in required_tags or optional_tags, or its value does not match",
    "own-recipients": "the request names recipients, but own_recipients is false",
    "expiry": "the expiry is longer than longest_expiry",
    "caller": "the key pair is another caller's, and callers does not list that one",
}


_OPTIONS = {
    "keyName": ("--name", "1 to 25 letters, digits and '_'"),
    "recipients": ("--recipient", "1 to 20 public keys"),
    "projectId": ("--project", "the number of a project"),
    "region": ("--region", "a region, such as ap-guangzhou"),
    "tags": ("--tag", "KEY=VALUE, at most 20 times"),
    "expiresIn": ("--expires-in", "a duration, such as 90m, 12h or 30d"),
}
"""A field of a request -> the option that gives it here, and what it takes."""


def _explain(options: argparse.Namespace) -> int:
    try:
        policy = check_policy(options.file)
        caller = policy.callers[options.caller]
        order = _order(options, caller)
    except PolicyUnusable as error:
        return _unusable(str(error))
    except KeyError:
        return _unusable(f"{options.file}: no caller {options.caller}, so every request is refused")
    except ValidationError as error:
        option, takes = _OPTIONS[str(error.errors()[0]["loc"][0])]
        return _unusable(f"{option} is not valid in a request; it takes {takes}")
    action = Action(options.action)
    asks = "asks for" if action is Action.CREATE else f"asks to {action.value}"
    print(f"{options.caller} {asks} {order.name} in {order.region}, project {order.project_id}")
    existing = action in (Action.LIST, Action.DELETE)
    owned = ExistingKeyPair(order.name, order.region, order.project_id, options.owner or options.caller)
    for position, grant in enumerate(caller.grants):
        violations = (
            grant.existing_violations(action, options.caller, owned)
            if existing
            else grant.violations(options.caller, order)
        )
        print(f"grant {position}: {_VIOLATIONS[violations[0]] if violations else 'allows it'}")
        if not violations:
            break
    if existing:
        print("refused" if violations else f"rate: {caller.rate or 'unlimited'}\nallowed")
        return 1 if violations else 0
    return _explain_order(policy, options.caller, order)


def _explain_order(policy: Policy, caller_id: str, order: KeyPairOrder) -> int:
    """Say what becomes of an order that a grant may allow; return the exit status."""
    try:
        granted = granted_order(policy, caller_id, order)
        if order.action is Action.CREATE:
            sealer = sealing.prepare_sealer(granted.recipients, now=time.time(), escrow=policy.escrow)
            print(f"sealed as {sealer.format.value} to: {', '.join(sealer.fingerprints)}")
            for position, text in enumerate(granted.recipients):
                if dropped := sealing.read_recipient(text).dropped:
                    print(f"ignored in recipient {position}: {', '.join(part.value for part in dropped)}")
    except NotGranted:
        print("refused")
        return 1
    except RecipientRefused as error:
        if error.problem is RecipientProblem.MISSING:
            print("granted if the request names a recipient; without one it is refused")
            print("To see what becomes of a request that names one, add --recipient and a public key.")
        else:
            print(f"refused: {error.problem.advice}")
        return 1
    print(f"tags: {', '.join(f'{key}={value}' for key, value in granted.tags.items()) or 'none'}")
    print(f"removed after: {'never' if granted.expires_in is None else f'{granted.expires_in} seconds'}")
    print(f"rate: {policy.callers[caller_id].rate or 'unlimited'}")
    print("allowed")
    return 0


def _order(options: argparse.Namespace, caller: Caller) -> KeyPairOrder:
    """Return the order of a request with these options; raise ValidationError."""
    request = KeyPairRequest.model_validate(
        {
            "keyName": options.name,
            "recipients": options.recipient or None,
            "projectId": options.project,
            "region": options.region or caller.grants[0].regions[0],
            "tags": dict(tag.partition("=")[::2] for tag in options.tag),
            "expiresIn": options.expires_in,
        }
    )
    order = request.order("", request.tags or {})
    # Which key is imported makes no difference to the policy.
    return replace(order, public_key="") if options.action == Action.IMPORT.value else order


def _unusable(text: str) -> int:
    print(text, file=sys.stderr)
    return _UNUSABLE


def _secret(options: argparse.Namespace, *, may_print: bool) -> int:
    name = PREFIX + "MASTER_SECRET"
    try:
        master = decode_secret(os.environ.get(name))
        caller = check_policy(options.policy).callers[options.caller]
    except PolicyUnusable as error:
        return _unusable(str(error))
    except KeyError:
        return _unusable(f"{options.policy}: there is no caller {options.caller}, and therefore no secret")
    except ValueError:
        return _unusable(f"{name} has to be set as for the function")
    if not (caller.v2 if options.v2 else caller.tc3):
        wanted = "v2" if options.v2 else "tc3 = true"
        return _unusable(f"{options.policy}: callers.{options.caller} has no {wanted}: no secret would work")
    if not may_print:
        # The output of a pipe often ends up in a log or a chat.
        return _unusable("The output is not a terminal. Add --print to print the secret anyway")
    purpose = Purpose.V2_SECRET if options.v2 else Purpose.TC3_SECRET
    print(MasterSecrets([master]).caller_secrets(purpose, options.caller, caller.generation)[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
