"""The command `keypair`: orders key pairs from the function and puts the private key where it is used.

It shares nothing with the function but its public contract, `handler/api/openapi.json`.
"""

from __future__ import annotations


def version() -> str:
    """Return the version that is installed; in a checkout the one that pyproject states."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return installed_version("keypair-function")
    except PackageNotFoundError:
        import re
        from pathlib import Path

        project = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
        found = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
        return f"{found[1] if found else '0'}+checkout"


def user_agent() -> str:
    """Return what the client calls itself to servers."""
    return f"keypair/{version()}"
