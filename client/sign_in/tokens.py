"""Where tokens come from: the environment, a CI system, a command, or a sign-in that was done before."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from client.errors import SignInFailed, UsageProblem
from client.language import tr
from client.programs import split_command

if TYPE_CHECKING:
    from client.console import Console
    from client.profiles import Profile
    from client.sign_in.bearer import TokenSource

_COMMAND_SECONDS = 60


def token_source(profile: Profile, console: Console) -> TokenSource:
    """Return where the tokens of a profile come from."""
    if profile.method == "token":
        return FixedToken(profile.token)
    if profile.method == "token-command":
        return CommandTokens(profile.token_command)
    if profile.method == "ci":
        return AmbientTokens(profile.wanted_audience)
    from client.sign_in.oauth import OAuthTokens

    return OAuthTokens(profile, console)


class FixedToken:
    """A token from the environment."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        """Return it."""
        return self._token

    def renew(self) -> bool:
        """Return False: there is no other one."""
        return False


class CommandTokens:
    """A command that prints a token."""

    def __init__(self, command: str) -> None:
        if not command:
            raise UsageProblem(
                tr("No token command is set."), tr("Set one: keypair config set token-command 'COMMAND'")
            )
        self._command = command

    def token(self) -> str:
        """Run the command; raise SignInFailed where it fails. Its standard error goes to the user."""
        try:
            done = subprocess.run(
                split_command(self._command),
                stdout=subprocess.PIPE,
                check=True,
                text=True,
                timeout=_COMMAND_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            # Not the error's own text: it may quote what the command printed.
            reason = (
                f"exit {error.returncode}"
                if isinstance(error, subprocess.CalledProcessError)
                else (error.strerror if isinstance(error, OSError) else f"> {_COMMAND_SECONDS} s")
            )
            raise SignInFailed(
                tr("The token command failed ({reason}).", reason=reason),
                tr("Run it by hand: {command}", command=self._command),
            ) from None
        if not done.stdout.strip():
            raise SignInFailed(
                tr("The token command printed nothing."),
                tr("Run it by hand: {command}", command=self._command),
            )
        return done.stdout

    def renew(self) -> bool:
        """Return True: the command can be run again."""
        return True


class AmbientTokens:
    """The token that GitHub Actions, GitLab CI, Buildkite, CircleCI or Google Cloud has for a job."""

    def __init__(self, audience: str) -> None:
        self._audience = audience

    def token(self) -> str:
        """Ask the environment. Raises SignInFailed where there is none, or where it lacks a permission."""
        import id as ambient

        try:
            token = ambient.detect_credential(self._audience)
        except ambient.GitHubOidcPermissionCredentialError:
            raise SignInFailed(
                tr("This GitHub job may not ask for a token."),
                tr("Add to the job: permissions: { id-token: write, contents: read }"),
            ) from None
        except ambient.AmbientCredentialError as error:
            advice = tr("Look at the job's settings for identity tokens (OIDC).")
            if os.environ.get("GITLAB_CI"):
                advice = tr(
                    "Add to the job: id_tokens with the variable {variable} and aud {audience!r}.",
                    variable=_gitlab_variable(self._audience),
                    audience=self._audience,
                )
            raise SignInFailed(tr("The CI system gives no token: {error}", error=error), advice) from None
        if token is None:
            raise SignInFailed(
                tr("Not signed in, and no CI system is here to give a token."),
                tr("Run `keypair login`; `keypair config set sign-in …` chooses how."),
            )
        return token

    def renew(self) -> bool:
        """Return True: the environment can be asked again."""
        return True


def _gitlab_variable(audience: str) -> str:
    letters = "".join(letter if letter.isalnum() else "_" for letter in audience.upper())
    return f"{letters}_ID_TOKEN"
