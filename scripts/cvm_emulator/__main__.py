import argparse
import os
import secrets
import signal
import string
import tempfile
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from scripts.info_file import write_info

from .actions import Actions
from .certificates import tls_context
from .conduct import Conduct
from .control import ControlHandler, CreationClock, Emulator
from .faults import FaultQueue
from .keys import KeyPool
from .legacy import LegacyService
from .server import CvmHandler, LoopbackServer, serving
from .service import RateLimit, Service
from .signature import Credential
from .state import QUOTA, State

_LETTERS = string.ascii_letters + string.digits
_DEFAULT_PROJECT = 0
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main() -> None:
    """Run the emulator until a signal stops it."""
    options = _options()
    stopping = threading.Event()
    # Blocked here, before any thread starts, so that only the sigwait below takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    with ExitStack() as stack:
        if options.state is None:
            options.state = (
                Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cvm-emulator-"))) / "state"
            )
        context, authority_file = (None, None) if options.tls is None else tls_context(options.tls)
        credential = _credential(options)
        state, keys, faults = State(options.state, options.quota), KeyPool(options.pool), FaultQueue()
        rate_limit, clock = RateLimit(options.rate), CreationClock()
        project_ids = frozenset({_DEFAULT_PROJECT, *options.project})
        conduct = Conduct()
        actions = Actions(state, keys, conduct, project_ids=project_ids, creation_time=clock.now)
        service = Service(
            actions, faults, rate_limit, conduct=conduct, credential=credential, wait=stopping.wait
        )
        emulator = Emulator(service, state, keys, faults, rate_limit, clock, conduct)
        legacy = LegacyService(service, credential)
        cvm = LoopbackServer(options.port, partial(CvmHandler, service, legacy, stopping), context)
        control = LoopbackServer(0, partial(ControlHandler, emulator))
        stack.enter_context(serving(cvm))
        stack.enter_context(serving(control))
        if options.info is not None:
            info = {
                "cvmEndpoint": cvm.url,
                "controlUrl": control.url,
                "secretId": credential.secret_id,
                "secretKey": credential.secret_key,
                "token": credential.token,
                "authorityFile": None if authority_file is None else str(authority_file),
                "pid": os.getpid(),
            }
            write_info(options.info, info)
            stack.callback(options.info.unlink, missing_ok=True)
        print(
            f"CVM emulator ready at {cvm.url}, control port {control.url}, SecretId {credential.secret_id}",
            flush=True,
        )
        signal.sigwait(_STOP_SIGNALS)
        stopping.set()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/emulator",
        description="A local stand-in of cvm.tencentcloudapi.com for key pairs. Stops at SIGTERM or Ctrl-C.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free port")
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keep the account in FILE (default: forget it)"
    )
    parser.add_argument(
        "--info", type=Path, metavar="FILE", help="write the addresses and the credential to FILE"
    )
    parser.add_argument("--tls", type=Path, metavar="DIR", help="serve HTTPS; clients trust DIR/ca.pem")
    parser.add_argument(
        "--pool", type=Path, metavar="FILE", help="keep RSA keys made ahead for later runs in FILE"
    )
    parser.add_argument(
        "--rate", type=int, default=10, metavar="N", help="calls per second and action, 0: no limit"
    )
    parser.add_argument(
        "--quota", type=int, default=QUOTA, metavar="N", help=f"key pairs in the account (default {QUOTA})"
    )
    parser.add_argument(
        "--project", type=int, action="append", metavar="ID", help="a project besides 0 (default 1234)"
    )
    parser.add_argument("--secret-id", help="default: a random one; see --info")
    parser.add_argument("--secret-key", help="default: a random one; see --info")
    parser.add_argument("--token", default="", help="makes the credential a temporary one")
    options = parser.parse_args()
    if (options.secret_id is None) != (options.secret_key is None):
        parser.error("--secret-id and --secret-key belong together")
    if options.project is None:
        options.project = [1234]
    return options


def _credential(options: argparse.Namespace) -> Credential:
    # The lengths of real ones: 36 and 32 characters.
    secret_id = options.secret_id or "AKID" + "".join(secrets.choice(_LETTERS) for _ in range(32))
    secret_key = options.secret_key or "".join(secrets.choice(_LETTERS) for _ in range(32))
    return Credential(secret_id, secret_key, options.token)


if __name__ == "__main__":
    main()
