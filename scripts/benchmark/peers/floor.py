"""The floor: imports what everybody imports for this purpose, and does nothing."""

import pydantic  # noqa: F401
import pyrage  # noqa: F401
from tencentcloud.common import common_client  # noqa: F401


def main_handler(event: dict[str, str], context: object) -> dict[str, object]:  # noqa: ARG001  # SCF passes it
    """Do nothing."""
    return {"statusCode": 201}
