"""Checks a policy file, and tells a caller's secret.

The secret of a caller is derived from KEYPAIR_MASTER_SECRET, which is read from the environment.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from handler.auth.tc3 import derive_secret
from handler.policy import CallerId
from handler.settings import PREFIX, decode_secret
from scripts.policy_file import PolicyUnusable, check_policy

_UNUSABLE = 2
"""Exit status where what was given cannot be used, as argparse has it."""


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    parser = argparse.ArgumentParser(prog="scripts/policy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="tell whether a policy file can be used, and what to mend")
    check.add_argument("file", type=Path)
    secret = commands.add_parser("secret", help="print the secret of a caller, to be handed over")
    secret.add_argument("caller")
    secret.add_argument("--print", action="store_true", help="also where the output is not a terminal")
    options = parser.parse_args(arguments)
    if options.command == "check":
        return _check(options.file)
    return _secret(options.caller, may_print=options.print or sys.stdout.isatty())


def _check(file: Path) -> int:
    try:
        check_policy(file)
    except PolicyUnusable as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{file}: ok")
    return 0


def _secret(caller: str, *, may_print: bool) -> int:
    name = PREFIX + "MASTER_SECRET"
    try:
        TypeAdapter(CallerId).validate_python(caller)
        master = decode_secret(os.environ.get(name))
    except (ValidationError, ValueError):
        print(
            f"{name} has to be set as for the function, and the caller to be one of the policy",
            file=sys.stderr,
        )
        return _UNUSABLE
    if not may_print:
        # A pipe often ends in a log or a chat.
        print("This prints a secret; for anything but a terminal say --print", file=sys.stderr)
        return _UNUSABLE
    print(derive_secret(master, caller))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
