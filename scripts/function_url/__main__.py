"""A local Function URL: HTTP request -> SCF event -> main_handler -> HTTP response."""

import argparse
import base64
import errno
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from handler import composition
from handler.auth.master_secret import MasterSecrets, Purpose
from handler.errors import KeyPairFunctionError
from handler.policy.model import Policy
from handler.scf.invocation import Clock
from scripts.cvm_emulator.signature import Credential
from scripts.function_url.code_root import CodeRoot, CodeUnusable, source_code, unpacked
from scripts.function_url.emulator import Emulator, running_emulator
from scripts.function_url.environment import (
    NotOnScf,
    configuration_of,
    credentials_of,
    emulator_defaults,
    function_environment,
)
from scripts.function_url.front import FunctionUrl
from scripts.function_url.instance import Instance, Logs
from scripts.function_url.invocations import Invocations
from scripts.function_url.local_profile import LocalProfile, is_running
from scripts.info_file import NotStarted, read_info, write_info
from scripts.policy_file import PolicyUnusable, compile_policy
from scripts.python310 import find_python310

_CALLER = "demo"
_DEMO_POLICY = f"""
[callers.{_CALLER}]
tc3 = true
[[callers.{_CALLER}.grants]]
names = ["*"]
projects = [0]
regions = ["ap-guangzhou"]
optional_tags = {{ team = "*" }}
own_recipients = true
actions = ["create", "list", "delete", "import"]
"""
_HIGHEST_PORT = 65535


class NotServed(Exception):
    """`scripts/serve` cannot start like this; `str()` says what to do."""


_UNUSABLE = (CodeUnusable, KeyPairFunctionError, NotOnScf, NotServed, NotStarted, OSError, PolicyUnusable)


@dataclass(frozen=True)
class _Options:
    port: int
    emulator: bool
    web: bool
    policy: Path | None
    package: Path | None
    info: Path | None
    timeout: float


@dataclass(frozen=True)
class _Caller:
    """A caller of the policy that signs its requests."""

    secret_id: str
    secret_key: str = field(repr=False)


def _parse() -> _Options:
    parser = argparse.ArgumentParser(prog="scripts/serve", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--emulator", action="store_true", help="run a local CVM as well and use it")
    parser.add_argument(
        "--web", action="store_true", help="with --emulator: also serve the web page, and show how to sign in"
    )
    parser.add_argument("--policy", type=Path, metavar="FILE", help="who may have what, TOML or JSON")
    parser.add_argument(
        "--package", type=Path, metavar="ZIP", help="run this deployment package, on Python 3.10"
    )
    parser.add_argument(
        "--info",
        type=Path,
        metavar="FILE",
        help="write addresses and process ids there as JSON, and no profile for `keypair --local`",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="the function's time limit (default: 15)",
    )
    options = _Options(**vars(parser.parse_args()))
    if options.timeout <= 0:
        parser.error("--timeout must be more than 0")
    if not 0 <= options.port <= _HIGHEST_PORT:
        parser.error(f"--port must be at most {_HIGHEST_PORT}")
    if options.web and (options.policy or not options.emulator):
        parser.error("--web needs --emulator and no --policy; a policy of your own has a table [web]")
    return options


def _serve(options: _Options, cleanup: ExitStack) -> None:
    """Run until interrupted. `cleanup` collects what to undo at the end."""
    _make_way(options.info)
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="function-url-")))
    package = options.package
    code = cleanup.enter_context(unpacked(package, find_python310())) if package else source_code()
    front = cleanup.enter_context(_front(options.port))
    emulator = cleanup.enter_context(running_emulator(folder)) if options.emulator else None

    url = f"http://127.0.0.1:{front.server_port}"
    configuration = _configuration(options, folder, emulator, front.server_port)
    credentials = emulator.credentials() if emulator else credentials_of(os.environ)
    invocations = _invocations(configuration, credentials, url)
    logs = Logs(stdout=folder / "function.stdout", stderr=folder / "function.stderr")
    caller = _caller(configuration, code)
    info: dict[str, object] = {
        "url": url,
        "cvmEndpoint": configuration.get("KEYPAIR_CVM_ENDPOINT"),
        "scfEndpoint": configuration.get("KEYPAIR_SCF_ENDPOINT"),
        "controlUrl": emulator.control_url if emulator else None,
        "secretId": caller.secret_id if caller else None,
        "secretKey": caller.secret_key if caller else None,
        "pid": os.getpid(),
        "auditLog": str(logs.stdout),
        "errorLog": str(logs.stderr),
    }

    def publish(instance_pid: int | None) -> None:
        if options.info:
            write_info(options.info, {**info, "instancePid": instance_pid})

    environment = function_environment(configuration, credentials, code.root)
    if options.package is None:
        # Raises what is wrong with the settings. A package may be another version, which checks its own.
        composition.build(environment, Clock(), lambda: sys.stdout)
    replaced = cleanup.enter_context(_local_profile(options, url, caller))

    def instance_of(on_start: Callable[[int | None], None]) -> Instance:
        return Instance(code, environment, logs, time_limit=options.timeout, on_start=on_start)

    instance = instance_of(publish)
    cleanup.callback(instance.stop)
    if invocations:
        worker = instance
        if configuration.get("KEYPAIR_STORE", "memory:") != "memory:":
            # A separate instance, as on SCF, where events do not delay requests. With a store in memory the
            # two would not share what they remember.
            worker = instance_of(lambda _pid: None)
            cleanup.callback(worker.stop)
        cleanup.enter_context(invocations.serving(worker))
    if options.info:
        cleanup.callback(_remove_own, options.info)
    if failed := instance.start():
        # Served anyway, as SCF does: each request tries to load it again and gets SCF's error.
        print(f"{failed.message}\n{failed.trace}", file=sys.stderr, flush=True)
    elif errors := [line for line in logs.stdout.read_text().splitlines() if line.startswith("[ERROR]")]:
        raise NotServed("\n".join(errors))
    _announce(options, url, caller, logs, replaced)
    front.serve(instance)


def _make_way(info: Path | None) -> None:
    """Remove the file of an earlier run; raise NotServed if that one still runs."""
    if info is None:
        return
    pid = read_info(info).get("pid")
    if is_running(pid):
        raise NotServed(f"{info} belongs to a function that runs (process {pid}). Name another file.")
    info.unlink(missing_ok=True)


def _remove_own(info: Path) -> None:
    if read_info(info).get("pid") == os.getpid():
        info.unlink(missing_ok=True)


def _front(port: int) -> FunctionUrl:
    try:
        return FunctionUrl(port)
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        state = "is in use" if error.errno == errno.EADDRINUSE else "needs more rights than you have"
        raise NotServed(f"Port {port} {state}. Choose another --port, or none for any free one.") from error


def _announce(options: _Options, url: str, caller: _Caller | None, logs: Logs, replaced: str | None) -> None:
    print(f"Function URL   {url}")
    if caller:
        where = "is in the file given with --info" if options.info else "is known to `keypair --local`"
        print(f"caller         {caller.secret_id} (secret id; its secret key {where})")
    else:
        print("caller         none of the policy signs its requests (tc3 = true)")
    if options.web and caller:
        # The secret of a stand-in that is made for this run and gone after it.
        print(f"web page       {url}/ (sign in with ID {caller.secret_id}, secret {caller.secret_key})")
    if replaced:
        print(f"note           `keypair --local` meant {replaced} until now, and will again when this ends")
    print(f"function's log {logs.stdout}")
    print("Ctrl-C stops it.", flush=True)


def _local_profile(options: _Options, url: str, caller: _Caller | None) -> AbstractContextManager[str | None]:
    """Let `keypair --local` find this function, unless --info names another place for its address."""
    if caller is None or options.info:
        return nullcontext()
    return LocalProfile(url, caller.secret_id, caller.secret_key).published()


def _invocations(configuration: dict[str, str], credentials: dict[str, str], url: str) -> Invocations | None:
    """Give the function an Invoke API, unless it is configured with another one or cannot sign."""
    secret_id = credentials.get("TENCENTCLOUD_SECRETID")
    if "KEYPAIR_SCF_ENDPOINT" in configuration or not secret_id:
        return None
    secret_key = credentials.get("TENCENTCLOUD_SECRETKEY", "")
    token = credentials.get("TENCENTCLOUD_SESSIONTOKEN", "")
    invocations = Invocations(Credential(secret_id, secret_key, token))
    configuration["KEYPAIR_SCF_ENDPOINT"] = invocations.url
    configuration.setdefault("KEYPAIR_PUBLIC_URL", url)
    return invocations


def _configuration(options: _Options, folder: Path, emulator: Emulator | None, port: int) -> dict[str, str]:
    own = configuration_of(os.environ)
    configuration = {**(emulator_defaults(emulator, port) if emulator else {}), **own}
    source = options.policy
    if source is None and emulator and "KEYPAIR_POLICY" not in own:
        source = folder / "demo-policy.toml"
        source.write_text(_DEMO_POLICY + ("[web]\n" if options.web else ""))
    if source is not None:
        compiled = folder / "policy.json"
        compile_policy(source, compiled)
        configuration["KEYPAIR_POLICY"] = str(compiled)
    return configuration


def _caller(configuration: dict[str, str], code: CodeRoot) -> _Caller | None:
    """Return the caller `demo`, else the first one that signs; None if there is none."""
    master = configuration.get("KEYPAIR_MASTER_SECRET")
    policy = Path(configuration.get("KEYPAIR_POLICY", code.root / "handler" / "policy.json"))
    if master is None or not policy.is_file():
        return None
    signing = {name: caller for name, caller in Policy.load(policy).callers.items() if caller.tc3}
    if not signing:
        return None
    name = _CALLER if _CALLER in signing else next(iter(signing))
    try:
        secrets = MasterSecrets([base64.urlsafe_b64decode(master + "=" * (-len(master) % 4))])
    except ValueError:
        return None  # the function refuses it itself
    (secret_key,) = secrets.caller_secrets(Purpose.TC3_SECRET, name, signing[name].generation)
    return _Caller(name, secret_key)


def main() -> None:
    """Serve until SIGINT or SIGTERM, then shut everything down and return 0; return 2 if it cannot start."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = 0
    with ExitStack() as cleanup:
        try:
            _serve(_parse(), cleanup)
        except KeyboardInterrupt:
            pass
        except _UNUSABLE as error:
            print(error, file=sys.stderr)
            status = 2
        # A second Ctrl-C must not interrupt the shutdown halfway.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)


if __name__ == "__main__":
    main()
