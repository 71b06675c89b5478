"""The body of a request that imports a public key."""

from __future__ import annotations

from pydantic import Field
from pydantic.alias_generators import to_camel

from handler.api.wire_models import WireModel
from handler.order import (  # pydantic reads the annotations at run time
    Duration,
    KeyName,
    KeyPairOrder,
    ProjectId,
    RecipientText,
    Region,
    Tags,
    seconds,
)


class ImportRequest(WireModel, alias_generator=to_camel):
    """The body of a request that imports a public key. It has neither recipients nor formats."""

    key_name: KeyName = Field(description="Name of the key pair, unique in the account.")
    public_key: RecipientText = Field(
        description="An ssh-rsa public key line of 2048 to 4096 bits. The private key stays with the caller."
    )
    project_id: ProjectId | None = Field(default=0, description="Project of the key pair.")
    region: Region | None = Field(default=None, description="Null: the function's default region.")
    tags: Tags | None = Field(default=None, description="Tags of the key pair.")
    expires_in: Duration | None = Field(default=None, description="When to remove the key pair.")

    def order(self, default_region: str) -> KeyPairOrder:
        """Return the order in this request."""
        return KeyPairOrder(
            name=self.key_name,
            region=self.region or default_region,
            project_id=self.project_id or 0,
            tags=self.tags or {},
            expires_in=None if self.expires_in is None else seconds(self.expires_in),
            public_key=self.public_key,
        )
