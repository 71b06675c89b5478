"""CAM, CLS and the tag service, as far as a deployment needs them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.cloud_stand_in.account import APP_ID, UIN
from tests.support.cloud_stand_in.parameters import error

if TYPE_CHECKING:
    from tests.support.cloud_stand_in.account import Account


class Cam:
    """Roles and policies."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def get_user_app_id(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"Uin": UIN, "OwnerUin": UIN, "AppId": int(APP_ID)}

    def get_role(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"RoleInfo": self._role(parameters["RoleName"])}

    def create_role(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if parameters["RoleName"] in self._account.roles:
            raise error("cam", "InvalidParameter.RoleNameInUse", "The role exists already.")
        _document(parameters["PolicyDocument"])
        self._account.roles[parameters["RoleName"]] = dict(parameters)
        return {"RoleId": str(self._account.new_id())}

    def delete_role(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._role(parameters["RoleName"])
        del self._account.roles[parameters["RoleName"]]
        return {}

    def list_policies(self, parameters: dict[str, Any]) -> dict[str, Any]:
        keyword = parameters.get("Keyword", "")
        found = [
            {"PolicyId": policy_id, "PolicyName": policy["PolicyName"], "Type": 1}
            for policy_id, policy in self._account.policies.items()
            if keyword in policy["PolicyName"]
        ]
        return {"TotalNum": len(found), "List": found}

    def get_policy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return dict(self._account.policies[parameters["PolicyId"]])

    def create_policy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if any(one["PolicyName"] == parameters["PolicyName"] for one in self._account.policies.values()):
            raise error("cam", "FailedOperation.PolicyNameInUse", "The policy exists already.")
        _document(parameters["PolicyDocument"])
        policy_id = self._account.new_id()
        self._account.policies[policy_id] = dict(parameters)
        return {"PolicyId": policy_id}

    def update_policy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        _document(parameters["PolicyDocument"])
        self._account.policies[self._policy(parameters)].update(parameters)
        return {"PolicyId": self._policy(parameters)}

    def delete_policy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        for policy_id in parameters["PolicyId"]:
            del self._account.policies[policy_id]
        return {}

    def attach_role_policy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._role(parameters["AttachRoleName"])
        self._account.attached.add((parameters["AttachRoleName"], self._policy(parameters)))
        return {}

    def detach_role_policy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._account.attached.discard((parameters["DetachRoleName"], self._policy(parameters)))
        return {}

    def list_attached_role_policies(self, parameters: dict[str, Any]) -> dict[str, Any]:
        found = [
            {"PolicyId": policy_id, "PolicyName": self._account.policies[policy_id]["PolicyName"]}
            for role, policy_id in sorted(self._account.attached)
            if role == parameters["RoleName"]
        ]
        return {"TotalNum": len(found), "List": found}

    def _role(self, name: str) -> dict[str, Any]:
        if name not in self._account.roles:
            raise error("cam", "InvalidParameter.RoleNotExist", "There is no such role.")
        return self._account.roles[name]

    def _policy(self, parameters: dict[str, Any]) -> int:
        for policy_id, policy in self._account.policies.items():
            if policy_id == parameters.get("PolicyId") or policy["PolicyName"] == parameters.get(
                "PolicyName"
            ):
                return policy_id
        raise error("cam", "ResourceNotFound.PolicyIdNotFound", "There is no such policy.")


def _document(text: str) -> None:
    try:
        document = json.loads(text)
        assert document["version"] == "2.0"
        assert document["statement"]
    except (ValueError, KeyError, AssertionError):
        raise error("cam", "InvalidParameter.PolicyDocumentError", "Not a policy.") from None


class Cls:
    """Logsets, topics, and the log lines of the functions that run."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def create_logset(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if parameters["LogsetName"] in self._account.logsets.values():
            raise error("cls", "InvalidParameter.LogsetConflict", "The logset exists already.")
        logset_id = f"logset-{self._account.new_id()}"
        self._account.logsets[logset_id] = parameters["LogsetName"]
        return {"LogsetId": logset_id}

    def describe_logsets(self, parameters: dict[str, Any]) -> dict[str, Any]:
        (wanted,) = (one["Values"][0] for one in parameters["Filters"] if one["Key"] == "logsetName")
        found = [
            {"LogsetId": logset_id, "LogsetName": name}
            for logset_id, name in self._account.logsets.items()
            if wanted in name
        ]
        return {"Logsets": found, "TotalCount": len(found)}

    def create_topic(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if parameters["LogsetId"] not in self._account.logsets:
            raise error("cls", "ResourceNotFound.LogsetNotExist", "There is no such logset.")
        topic_id = f"topic-{self._account.new_id()}"
        self._account.topics[topic_id] = {**parameters, "TopicId": topic_id, "Index": False}
        return {"TopicId": topic_id}

    def describe_topics(self, parameters: dict[str, Any]) -> dict[str, Any]:
        filters = {one["Key"]: one["Values"][0] for one in parameters["Filters"]}
        found = [
            topic
            for topic in self._account.topics.values()
            if filters.get("topicName", "") in topic["TopicName"]
            and topic["LogsetId"] == filters.get("logsetId", topic["LogsetId"])
        ]
        return {"Topics": found, "TotalCount": len(found)}

    def modify_topic(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._account.topics[parameters["TopicId"]].update(parameters)
        return {}

    def create_index(self, parameters: dict[str, Any]) -> dict[str, Any]:
        topic = self._account.topics[parameters["TopicId"]]
        if topic["Index"]:
            raise error("cls", "InvalidParameter.IndexConflict", "The index exists already.")
        topic["Index"] = True
        return {}

    def search_log(self, parameters: dict[str, Any]) -> dict[str, Any]:
        results = []
        for function in self._account.functions.values():
            if function.configuration.get("ClsTopicId") == parameters["TopicId"]:
                for line in function.running.log.read_text("utf-8", "replace").splitlines():
                    if (
                        "keypair-function/1" not in parameters["QueryString"]
                        or '"keypair-function/1"' in line
                    ):
                        log = {"SCF_RequestId": "-", "SCF_Message": line}
                        results.append({"LogJson": json.dumps(log), "Time": 0})
        return {"Results": results[::-1][: parameters.get("Limit", 100)]}


class Tag:
    """Tags on resources."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def tag_resources(self, parameters: dict[str, Any]) -> dict[str, Any]:
        tags = {one["TagKey"]: one["TagValue"] for one in parameters["Tags"]}
        for resource in parameters["ResourceList"]:
            self._account.tags.setdefault(resource, {}).update(tags)
            name = resource.rpartition("/")[2]
            for (_, function_name), function in self._account.functions.items():
                if function_name == name:
                    there = {one["Key"]: one["Value"] for one in function.configuration["Tags"]}
                    merged = {**there, **tags}
                    function.configuration["Tags"] = [{"Key": k, "Value": v} for k, v in merged.items()]
        return {"FailedResources": []}
