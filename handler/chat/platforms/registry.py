"""The chat platforms. Their modules are imported only where their settings are present."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from handler.errors import PolicyInvalid
from handler.settings import PREFIX
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from handler.auth.nonces import Nonces
    from handler.chat.http_client import HttpClient
    from handler.chat.platforms.base import Platform
    from handler.policy.model import Policy
    from handler.scf.invocation import Clock


@dataclass(frozen=True)
class PlatformContext:
    """What a platform uses besides its settings."""

    http: HttpClient
    nonces: Nonces
    clock: Clock


MakePlatform: TypeAlias = "Callable[[Mapping[str, str], PlatformContext], Platform | None]"
"""Environment -> the platform, or None if none of its settings is present; raises SettingsInvalid."""


@dataclass(frozen=True)
class LazyPlatform:
    """Makes the platform in the module `name`. Deployments without it do not pay for its import."""

    name: str

    def __call__(self, environ: Mapping[str, str], context: PlatformContext) -> Platform | None:
        """Return the platform, or None if none of its settings is present; raise SettingsInvalid."""
        prefix = prefix_of(self.name)
        # One that is set to nothing is as if it were not set.
        variables = {name: value for name, value in environ.items() if value and name.startswith(prefix)}
        if not variables:
            return None
        module = import_module(f"handler.chat.platforms.{self.name}")
        platform: Platform = module.configured(variables, context)
        return platform


PLATFORMS: Mapping[str, MakePlatform] = {
    name: LazyPlatform(name) for name in ("slack", "feishu", "dingtalk", "wecom", "wecomapp")
}


def prefix_of(name: str) -> str:
    """Return how the environment variables of a platform begin."""
    return f"{PREFIX}{name.upper()}_"


def configured(
    environ: Mapping[str, str], context: PlatformContext, table: Mapping[str, MakePlatform]
) -> dict[str, Platform]:
    """Return the platforms of `table` whose settings are present. The others get no endpoint."""
    made = {name: make(environ, context) for name, make in table.items()}
    return {name: platform for name, platform in made.items() if platform is not None}


def check(policy: Policy, names: Collection[str]) -> None:
    """Raise PolicyInvalid if the policy names an unknown platform."""
    if not policy.chat_platforms <= set(names):
        raise PolicyInvalid(f"callers: a chat table names no platform; write one of {', '.join(names)}")
