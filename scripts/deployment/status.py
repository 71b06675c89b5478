"""`scripts/deploy status`: what is deployed, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.deployment.function_settings import is_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.deployment.account import DeployedFunction


def print_status(deployed: DeployedFunction, say: Callable[[str], None]) -> None:
    """Print it; values of secret settings are not shown."""
    there = deployed.configuration
    say(f"function     {there['FunctionName']} in namespace {there['Namespace']}, {there['Status']}")
    say(f"url          {deployed.url or 'none'}")
    say(f"runtime      {there['Runtime']}, {there['MemorySize']} MB, {there['Timeout']} s")
    say(f"role         {there.get('Role') or 'none'}")
    say(f"code         {there.get('Description') or 'unknown'}")
    reserved = "none" if deployed.reserved_mb is None else f"{deployed.reserved_mb} MB"
    say(f"reserved     {reserved}")
    say(f"log topic    {there.get('ClsTopicId') or 'the default one'}")
    for trigger in deployed.triggers:
        state = "on" if trigger["Enable"] else "off"
        say(f"trigger      {trigger['Type']} {trigger['TriggerName']} on {trigger['Qualifier']}, {state}")
    for name, value in sorted(deployed.variables.items()):
        say(f"setting      {name}={'***' if is_secret(name) else value}")
    say(f"requests     go to version {deployed.alias_version}")
    for version in deployed.versions:
        mark = "*" if version["Version"] == deployed.alias_version else " "
        say(
            f"version    {mark} {version['Version']}  {version.get('AddTime', '')}  "
            f"{version.get('Description', '')}"
        )
