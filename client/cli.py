"""The command line: global options, and commands that are loaded when they are run."""

from __future__ import annotations

import importlib
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from client.console import FAILED, Console
from client.errors import ClientError, LocalFailure, UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from client.profiles import Profile
    from client.service import Service

# One module a command, loaded when the command is run.
_COMMANDS = {
    "create": tr("Make a key pair and save its private key."),
    "open": tr("Open an envelope and save its private key."),
    "import": tr("Import a public key of your own."),
    "list": tr("List your key pairs."),
    "show": tr("Show one key pair."),
    "delete": tr("Delete key pairs."),
    "login": tr("Store your secret, or sign in with your browser."),
    "logout": tr("Forget the stored secret or sign-in."),
    "config": tr("Show and change profiles."),
    "doctor": tr("Check everything between here and a key."),
    "completion": tr("Print the completion script of your shell."),
}

# With their values, for an example.
_GLOBAL_OPTIONS = {
    "--local": "--local",
    "--profile": "--profile NAME",
    "--url": "--url URL",
    "--quiet": "--quiet",
    "-q": "-q",
}

_EXIT_CODES = tr("""\b
Exit codes:
  0   done
  1   a defect of this program
  2   wrong option, profile or file; nothing was sent
  3   not signed in, or not accepted
  4   not granted by the policy
  5   the name is taken, or the file exists
  6   the function refuses the request as it is
  7   no answer yet: run the same command again
  8   the function or the cloud failed
  9   an envelope that cannot be opened, or a key that fails a check
  10  a file, an agent or a program of this machine
  130 interrupted: run the same command again""")


@dataclass
class Session:
    """What the global options say."""

    console: Console
    local: bool
    profile_name: str | None
    url: str | None

    def profile(self) -> Profile:
        """Return the profile to use. Raises UsageProblem."""
        from client.profiles import load_local_profile, load_profile

        if self.local:
            return load_local_profile()
        return load_profile(self.profile_name, self.url)

    def service(self, total_seconds: float = 120.0) -> Service:
        """Return the function of the profile, with a way to sign in. Raises UsageProblem or SignInFailed."""
        from client.service import Service
        from client.sign_in import credential_for

        profile = self.profile()
        return Service(profile, credential_for(profile, self.console), self.console, total_seconds)


class _Commands(click.Group):
    """Loads a command's module when the command is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them, which the base class would."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        # `import` cannot be the name of a module.
        module = "import_key" if cmd_name == "import" else cmd_name
        command: click.Command = getattr(
            importlib.import_module(f"client.commands.{module}"), f"{module}_command"
        )
        return command


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  # click's
    # `run` parses the arguments twice, and prints nothing the first time.
    if wanted and not ctx.resilient_parsing:
        from client import version

        click.echo(f"keypair {version()}")
        ctx.exit()


@click.group(
    "keypair",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=tr("SSH key pairs of Tencent Cloud, made by your function and sealed on the way to you.")
    + "\n\n"
    + tr("Start with: keypair create NAME"),
    epilog=_EXIT_CODES,
)
@click.option("--local", is_flag=True, help=tr("Use the function that `scripts/serve --emulator` runs here."))
@click.option("--profile", "profile_name", metavar="NAME", help=tr("Use this profile; see `keypair config`."))
@click.option("--url", metavar="URL", help=tr("Use the function at this address."))
@click.option("--quiet", "-q", is_flag=True, help=tr("Print nothing but results and errors."))
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help=tr("Show the version and exit."),
)
@click.pass_context
def keypair(
    ctx: click.Context, *, local: bool, profile_name: str | None, url: str | None, quiet: bool
) -> None:
    """Keep the global options for the command."""
    ctx.obj = Session(Console(quiet, _global_options(ctx)), local, profile_name, url)


def _global_options(ctx: click.Context) -> dict[str, str]:
    """Return the options that say which function is meant, for each command that takes them."""
    calls = ("create", "import", "list", "show", "delete", "doctor")
    if ctx.params.get("local"):
        # There is nothing to sign in to, and no profile to change.
        return dict.fromkeys(calls, "--local")
    name = ctx.params.get("profile_name")
    profile = [f"--profile {shlex.quote(name)}"] if name else []
    function = " ".join(profile + _address(ctx.params.get("url")))
    return {**dict.fromkeys((*calls, "login", "logout"), function), "config": " ".join(profile)}


def _address(url: str | None) -> list[str]:
    if not url:
        return []
    from client.profiles import checked_url

    try:
        return [f"--url {shlex.quote(checked_url(url))}"]
    except UsageProblem:
        # Not repeated: what is not an address may hold a password.
        return []


def main() -> None:
    """Run the command line and exit: 0, or the code of the error."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    # Parsed beforehand, because an error does not carry the context that it was raised in.
    context = keypair.make_context("keypair", list(arguments), resilient_parsing=True)
    console = Console(global_options=_global_options(context))
    try:
        # What `Context.exit` was called with, else what the command returns: nothing.
        return keypair.main(arguments, prog_name="keypair", standalone_mode=False) or 0
    except click.Abort:
        console.note(tr("Interrupted. Run the same command again: nothing is lost."))
        return 130
    except click.NoSuchOption as error:
        if error.option_name in _GLOBAL_OPTIONS:
            problem = UsageProblem(
                tr("{option} is written before the command.", option=error.option_name),
                tr("For example: keypair {option} create NAME", option=_GLOBAL_OPTIONS[error.option_name]),
            )
            _show(console, problem)
        else:
            error.show()
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ClientError as error:
        _show(console, error)
        return error.exit_code
    except BrokenPipeError:
        return 1
    except OSError as error:
        failure = LocalFailure(
            f"{error.filename}: {error.strerror}" if error.filename else str(error),
            tr("Make room, or correct the path or its permissions, and run the command again."),
        )
        _show(console, failure)
        return failure.exit_code


def _show(console: Console, error: ClientError) -> None:
    console.note(str(error), FAILED)
    if error.advice:
        console.note("  → " + error.advice)
