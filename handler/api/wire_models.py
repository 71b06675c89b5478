"""Base classes for request and response bodies."""

from __future__ import annotations

from pydantic import AliasGenerator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class WireModel(BaseModel):
    """A request body or a part of one. Unknown fields are refused."""

    # Deferred: a cold start builds only the models of the endpoint that it serves.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class WireAnswer(BaseModel):
    """A response body or a part of one, with fields in camelCase."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=AliasGenerator(serialization_alias=to_camel),
        defer_build=True,
    )
