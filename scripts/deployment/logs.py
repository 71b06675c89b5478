"""`scripts/deploy logs`: the function's log, from its topic of CLS."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from handler.audit import SCHEMA
from scripts.deployment.errors import DeploymentStopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.deployment.account import DeployedFunction
    from scripts.deployment.cloud import Cloud

_LIMIT = 1000
_MILLISECONDS = 1000


def print_logs(
    cloud: Cloud, deployed: DeployedFunction, hours: float, say: Callable[[str], None], *, audit: bool
) -> None:
    """Print the newest lines of the last `hours`, oldest first; raise DeploymentStopped."""
    topic = deployed.configuration.get("ClsTopicId")
    if not topic:
        raise DeploymentStopped("The function writes to no log topic; look into the console.")
    query = f'SCF_FunctionName:"{deployed.configuration["FunctionName"]}"'
    if audit:
        query += f' AND SCF_Message:"{SCHEMA}"'
    now = int(time.time() * _MILLISECONDS)
    search = {
        "TopicId": topic,
        "From": now - int(hours * 3600 * _MILLISECONDS),
        "To": now,
        "QueryString": query,
        "QuerySyntax": 1,
        "Sort": "desc",
        "Limit": _LIMIT,
    }
    for result in reversed(cloud.call("cls", "SearchLog", search)["Results"]):
        line = json.loads(result["LogJson"])
        say(f"{line.get('SCF_RequestId', '-')}  {str(line.get('SCF_Message', '')).rstrip()}")
