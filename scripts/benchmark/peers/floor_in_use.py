"""The floor in use: the same imports, of the names that every such handler needs.

`import pydantic` alone loads little: pydantic loads the rest when a name of it is first used.
"""

import pyrage  # noqa: F401
from pydantic import BaseModel  # noqa: F401
from tencentcloud.common.common_client import CommonClient  # noqa: F401


def main_handler(event: dict[str, str], context: object) -> dict[str, object]:  # noqa: ARG001  # SCF passes it
    """Do nothing."""
    return {"statusCode": 201}
