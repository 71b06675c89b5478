"""The zip that is deployed: the built package with the settings of this deployment in it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handler.errors import PolicyInvalid
from handler.policy.model import Policy
from scripts.deployment.cloud import BODY_LIMIT
from scripts.deployment.errors import DeploymentStopped
from scripts.packaging.archive import with_entries

if TYPE_CHECKING:
    from collections.abc import Mapping

POLICY = "handler/policy.json"
INDEX = "handler/policy.index"
"""Of the callers in the policy. `handler.policy.compiled` describes it."""
SETTINGS = "handler/settings.json"
_ROOM_FOR_THE_REST = 64 * 1024
"""Bytes of a call beside the code: its other parameters and the JSON around them."""


@dataclass(frozen=True)
class Package:
    """A deployment package, whole."""

    content: bytes

    @classmethod
    def of(cls, built: bytes, entries: Mapping[str, bytes]) -> Package:
        """Return the built zip with `entries` in it; raise DeploymentStopped if it is not a package."""
        try:
            package = cls(with_entries(built, entries))
        except zipfile.BadZipFile as error:
            raise DeploymentStopped(f"The package is not a zip: {error}") from error
        with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
            if "index.py" not in archive.namelist():
                raise DeploymentStopped(
                    "The package has no index.py at its root. Build it with scripts/build."
                )
        return package

    @property
    def sha256(self) -> str:
        """The digest of the zip."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def md5(self) -> bytes:
        """What COS compares the upload with."""
        return hashlib.md5(self.content).digest()  # noqa: S324  # a checksum, as Content-MD5 asks for

    @property
    def policy(self) -> Policy:
        """The policy in it; one without callers where there is none. Raises DeploymentStopped."""
        try:
            return Policy.parse(self.raw_policy)
        except PolicyInvalid as error:
            raise DeploymentStopped(f"The policy in the package cannot be used:\n{error}") from error

    @property
    def raw_policy(self) -> dict[str, Any]:
        """The policy in it, unchecked: an earlier version may have had other rules."""
        policy: dict[str, Any] = json.loads(self._read(POLICY) or '{"callers": {}}')
        return policy

    @property
    def settings(self) -> dict[str, str]:
        """The settings in it."""
        settings: dict[str, str] = json.loads(self._read(SETTINGS) or "{}")
        return settings

    @property
    def policy_digest(self) -> str:
        """The digest of the policy in it, which audit lines carry too; empty where there is none."""
        policy = self._read(POLICY)
        return hashlib.sha256(policy).hexdigest() if policy else ""

    @property
    def fits_into_a_call(self) -> bool:
        """Whether it fits into the body of CreateFunction; otherwise it goes through COS."""
        return (len(self.content) + 2) // 3 * 4 + _ROOM_FOR_THE_REST <= BODY_LIMIT

    def _read(self, name: str) -> bytes:
        with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
            return archive.read(name) if name in archive.namelist() else b""

    def base64(self) -> str:
        """Return it as `ZipFile` takes it."""
        return base64.b64encode(self.content).decode()
