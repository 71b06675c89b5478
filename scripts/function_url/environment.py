"""The environment variables that the function sees, and no others of this machine."""

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path

from scripts.function_url.emulator import Emulator

# As on SCF: https://cloud.tencent.com/document/product/583/30228
_PLATFORM = {
    "LANG": "en_US.UTF8",
    "TZ": "UTC",
    "TENCENTCLOUD_RUNENV": "SCF",
    "PYTHONDONTWRITEBYTECODE": "x",
}
_CREDENTIALS = (
    "TENCENTCLOUD_SECRETID",
    "TENCENTCLOUD_SECRETKEY",
    "TENCENTCLOUD_SESSIONTOKEN",
    # The SDK's own names, which may be set on a developer's machine but never on SCF.
    "TENCENTCLOUD_SECRET_ID",
    "TENCENTCLOUD_SECRET_KEY",
    "TENCENTCLOUD_TOKEN",
)
_TOTAL_LIMIT = 4096  # bytes, https://cloud.tencent.com/document/product/583/11637


class NotOnScf(Exception):
    """SCF would refuse or mangle this configuration; `str()` names the variable and the reason."""


def configuration_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Pick the function's own variables from those of this process."""
    return {k: v for k, v in environment.items() if k.startswith("KEYPAIR_")}


def emulator_defaults(emulator: Emulator, port: int) -> dict[str, str]:
    """Return a configuration that works with the emulator, including a master secret."""
    return {
        "KEYPAIR_REGION": "ap-guangzhou",
        "KEYPAIR_HOSTS": f"127.0.0.1:{port},localhost:{port},http://127.0.0.1:{port}",
        "KEYPAIR_MASTER_SECRET": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="),
        "KEYPAIR_STORE": "memory:",
        "KEYPAIR_CVM_ENDPOINT": emulator.cvm_endpoint,
    }


def credentials_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Pick the cloud credentials from the variables of this process, unchanged."""
    return {name: environment[name] for name in _CREDENTIALS if name in environment}


def function_environment(
    configuration: Mapping[str, str], credentials: Mapping[str, str], code_root: Path
) -> dict[str, str]:
    """Return the complete environment; raise NotOnScf."""
    for name, value in configuration.items():
        # SCF's runtime gets them as one text `K=V;K=V` and splits it without quoting.
        if ";" in value or "=" in value:
            raise NotOnScf(f"{name}: SCF cannot carry ';' or '=' in a value; use unpadded base64url")
    size = sum(len(f"{name}{value}".encode()) for name, value in configuration.items())
    if size > _TOTAL_LIMIT:
        raise NotOnScf(f"The KEYPAIR_* variables take {size} bytes in all; SCF allows {_TOTAL_LIMIT}")
    return {**_PLATFORM, "PYTHONPATH": str(code_root), **configuration, **credentials}
