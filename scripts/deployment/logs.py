"""`scripts/deploy logs`: the function's log, from its topic of CLS."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from scripts.deployment.errors import DeploymentStopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.deployment.cloud import Cloud
    from scripts.deployment.serverless_file import ServerlessFile

_LIMIT = 1000
_MILLISECONDS = 1000


def print_logs(
    cloud: Cloud, file: ServerlessFile, hours: float, say: Callable[[str], None], *, audit: bool
) -> None:
    """Print the newest lines of the last `hours`, oldest first; raise DeploymentStopped."""
    topic = _topic(cloud, file)
    query = f'SCF_FunctionName:"{file.inputs.name}"' + (
        ' AND SCF_Message:"keypair-function/1"' if audit else ""
    )
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


def _topic(cloud: Cloud, file: ServerlessFile) -> str:
    logs = file.deployment.logs
    if logs is None:
        raise DeploymentStopped("serverless.yml names no log topic; look into the console.")
    filters = [{"Key": "topicName", "Values": [logs.topic]}]
    for topic in cloud.call("cls", "DescribeTopics", {"Filters": filters, "Limit": 100})["Topics"]:
        if topic["TopicName"] == logs.topic:
            return str(topic["TopicId"])
    raise DeploymentStopped(f"There is no log topic {logs.topic}. Run scripts/deploy apply.")
