"""Reads the settings of one chat platform, and holds the types that platforms share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import BaseModel, StringConstraints, ValidationError

from handler.errors import SettingsInvalid
from handler.settings import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

_Settings = TypeVar("_Settings", bound=BaseModel)

# A secret that a chat platform issues; ';' and '=' would not survive SCF's bootstrap.
PlatformSecret = Annotated[str, StringConstraints(pattern=r"^[\x21-\x3a\x3c\x3e-\x7e]{1,256}$")]


def require_settings(model: type[_Settings], variables: Mapping[str, str]) -> _Settings:
    """Return the settings in `variables`; raise SettingsInvalid unless all required ones are set."""
    try:
        return model.model_validate(variables)
    except ValidationError as error:
        problems = [problem for problem in error.errors() if problem["type"] != "missing"]
        if problems:
            raise SettingsInvalid("; ".join(faults(model, problems))) from None
        required = [str(field.alias) for field in model.model_fields.values() if field.is_required()]
        raise SettingsInvalid(f"{', '.join(required)}: set all of them, or none") from None
