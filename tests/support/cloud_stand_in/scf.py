"""SCF's API 2018-04-16, as far as a deployment needs it, with its documented rules."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import re
import zipfile
from typing import TYPE_CHECKING, Any

from scripts.function_url.instance import Failed, Outcome, Returned
from tests.support.cloud_stand_in.account import APP_ID, REGION, Function
from tests.support.cloud_stand_in.functions import RunningFunction, Version
from tests.support.cloud_stand_in.parameters import error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.function_url.instance import Outcome
from tests.support.cloud_stand_in.account import Account

_VALUE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,63}")
_DESCRIPTION = re.compile(r"[A-Za-z0-9 ,.\n]{0,1000}")
_RUNTIMES = {"Python2.7", "Python3.6", "Python3.7", "Python3.9", "Python3.10"}
_VARIABLES_LIMIT = 4096
_ZIP_LIMIT = 50 * 1024 * 1024
_RESERVED = ("SCF_", "QCLOUD_", "TENCENTCLOUD_")
_CONFIGURATION = (
    "Description", "MemorySize", "Timeout", "InitTimeout", "Role", "Environment", "PublicNetConfig",
    "VpcConfig", "ClsLogsetId", "ClsTopicId",
)  # fmt: skip


class Scf:
    """The service; `credentials` and `outside` go to every function that runs."""

    def __init__(
        self,
        account: Account,
        credentials: Mapping[str, str],
        outside: Mapping[str, str],
        download_base: Callable[[], str],
    ) -> None:
        self._account = account
        self._credentials = credentials
        self._outside = outside
        self._download_base = download_base

    def create_function(self, parameters: dict[str, Any]) -> dict[str, Any]:
        key = _key(parameters)
        if key in self._account.functions:
            raise error("scf", "ResourceInUse.Function", "The function exists already.")
        if parameters.get("Runtime") not in _RUNTIMES - {self._account.refused_runtime}:
            raise error("scf", "InvalidParameterValue.Runtime", "There is no such runtime.")
        self._check_configuration(parameters)
        code = self._code(parameters["Code"])
        running = RunningFunction(self._credentials, self._outside, self._passed_on, self._returned)
        self._account.resources.callback(running.resources.close)
        names = ("FunctionName", "Runtime", "Handler", "Type", *_CONFIGURATION)
        configuration = {name: parameters[name] for name in names if name in parameters}
        configuration["Namespace"] = key[0]
        configuration["Tags"] = parameters.get("Tags", [])
        self._account.functions[key] = function = Function(configuration, code, running)
        _refresh(function)
        return {}

    def update_function_code(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._active(parameters)
        function.code = self._code(parameters)
        function.configuration["Handler"] = parameters.get("Handler", function.configuration["Handler"])
        _change(function, "Updating")
        return {}

    def update_function_configuration(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._active(parameters)
        if parameters.get("Runtime", function.configuration["Runtime"]) != function.configuration["Runtime"]:
            raise error("scf", "InvalidParameterValue.Runtime", "The runtime cannot be changed.")
        self._check_configuration(parameters)
        function.configuration.update(
            {name: parameters[name] for name in _CONFIGURATION if name in parameters}
        )
        _change(function, "Updating")
        return {}

    def get_function(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._function(parameters)
        qualifier = parameters.get("Qualifier", "$LATEST")
        if qualifier != "$LATEST":
            version = self._version(function, qualifier)
            return {**version[0], "Status": "Active", "Qualifier": qualifier}
        status = function.status
        if status != "Active":
            # Decided by how often somebody asks, not by time: a test waits for nothing.
            function.polls_until_active -= 1
            if function.polls_until_active < 0:
                function.status = status = "Active"
        triggers = [self._trigger(trigger) for trigger in function.triggers]
        return {
            **function.configuration,
            "Status": status,
            "CodeSize": len(function.code),
            "Triggers": triggers,
            "Qualifier": "$LATEST",
        }

    def get_function_address(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._function(parameters)
        qualifier = parameters.get("Qualifier", "$LATEST")
        self._version(function, qualifier) if qualifier != "$LATEST" else None
        namespace, name = _key(parameters)
        digest = hashlib.sha256(self.code_of(namespace, name, qualifier)).hexdigest()
        if self._account.wrong_download:
            digest = "0" * 64
        return {"Url": f"{self._download_base()}/_code/{namespace}/{name}/{qualifier}", "CodeSha256": digest}

    def delete_function(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._function(parameters)
        qualifier = parameters.get("Qualifier")
        if qualifier is None:
            del self._account.functions[_key(parameters)]
            function.running.resources.close()
            return {}
        if qualifier in function.aliases.values():
            raise error("scf", "ResourceInUse.Alias", "An alias leads to this version.")
        self._version(function, qualifier)
        del function.versions[qualifier]
        return {}

    def create_trigger(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._active(parameters)
        qualifier = parameters.get("Qualifier", "$LATEST")
        self._target(function, qualifier)
        kind, name = parameters["Type"], parameters["TriggerName"]
        for trigger in function.triggers:
            if trigger["TriggerName"] == name and trigger["Type"] == kind:
                raise error("scf", "ResourceInUse.TriggerName", "There is a trigger of this name.")
            if kind == trigger["Type"] == "http" and trigger["Qualifier"] == qualifier:
                raise error("scf", "ResourceInUse.Trigger", "An alias or version has one Function URL.")
        trigger = {
            "Type": kind,
            "TriggerName": name,
            "Qualifier": qualifier,
            "TriggerDesc": parameters["TriggerDesc"],
            "Enable": 1 if parameters.get("Enable", "OPEN") == "OPEN" else 0,
            "CustomArgument": parameters.get("CustomArgument", ""),
        }
        if kind == "http":
            self._url_description(trigger)
            trigger["Url"] = function.running.serve(lambda: self._target(function, qualifier))
        elif kind != "timer" or len(parameters["TriggerDesc"].split()) != 7:
            raise error(
                "scf", "InvalidParameterValue.TriggerDesc", "No such trigger, or not its description."
            )
        function.triggers.append(trigger)
        return {"TriggerInfo": self._trigger(trigger)}

    def update_trigger(self, parameters: dict[str, Any]) -> dict[str, Any]:
        trigger = self._found_trigger(parameters)
        for changed in ("TriggerDesc", "CustomArgument"):
            trigger[changed] = parameters.get(changed, trigger[changed])
        trigger["Enable"] = 1 if parameters["Enable"] == "OPEN" else 0
        if trigger["Type"] == "http":
            self._url_description(trigger)
        return {}

    def delete_trigger(self, parameters: dict[str, Any]) -> dict[str, Any]:
        trigger = self._found_trigger(parameters)
        self._function(parameters).triggers.remove(trigger)
        return {}

    def list_triggers(self, parameters: dict[str, Any]) -> dict[str, Any]:
        triggers = [self._trigger(trigger) for trigger in self._function(parameters).triggers]
        return {"TotalCount": len(triggers), "Triggers": triggers}

    def publish_version(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._active(parameters)
        function.last_version += 1
        number = str(function.last_version)
        assert function.latest is not None
        description = parameters.get("Description", "")
        if not _DESCRIPTION.fullmatch(description):
            raise error("scf", "InvalidParameterValue.Description", "Not a description.")
        configuration = {**function.configuration, "VersionDescription": description}
        function.versions[number] = (json.loads(json.dumps(configuration)), function.latest)
        function.status, function.polls_until_active = "Publishing", 1
        return {"FunctionVersion": number, "Description": description}

    def list_version_by_function(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._function(parameters)
        versions = [
            {
                "Version": number,
                "Description": configuration["VersionDescription"],
                "AddTime": f"2026-11-26 00:00:{int(number):02}",
                "Status": "Active",
            }
            for number, (configuration, _) in sorted(
                function.versions.items(), key=lambda item: -int(item[0])
            )
        ]
        versions.append({"Version": "$LATEST", "Description": "", "AddTime": "", "Status": function.status})
        return {"Versions": versions, "FunctionVersion": [version["Version"] for version in versions]}

    def get_alias(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._function(parameters)
        name = parameters["Name"]
        if name not in function.aliases:
            raise error("scf", "ResourceNotFound.Alias", "There is no such alias.")
        return {"Name": name, "FunctionVersion": function.aliases[name]}

    def update_alias(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._active(parameters)
        self.get_alias(parameters)
        version = parameters["FunctionVersion"]
        if version != "$LATEST":
            self._version(function, version)
        function.aliases[parameters["Name"]] = version
        return {}

    def put_reserved_concurrency_config(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._function(parameters)
        function.reserved_mb = parameters["ReservedConcurrencyMem"]
        return {}

    def get_reserved_concurrency_config(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"ReservedMem": self._function(parameters).reserved_mb}

    def update_function_event_invoke_config(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._function(parameters).async_retry = parameters["AsyncTriggerConfig"]
        return {}

    def get_function_event_invoke_config(self, parameters: dict[str, Any]) -> dict[str, Any]:
        default = {"RetryConfig": [{"RetryNum": 2}], "MsgTTL": 21600}
        return {"AsyncTriggerConfig": self._function(parameters).async_retry or default}

    def invoke(self, parameters: dict[str, Any]) -> dict[str, Any]:
        function = self._function(parameters)
        version = self._target(function, parameters.get("Qualifier", "$LATEST"))
        event = json.loads(parameters.get("ClientContext", "{}"))
        outcome = function.running.call(version, event)
        returned = json.dumps(getattr(outcome, "value", None))
        used = self._account.memory_used
        return {"Result": {"RetMsg": returned, "InvokeResult": 0, "MemUsage": used, "Duration": 12.5}}

    def _passed_on(self, event: Mapping[str, object]) -> Mapping[str, object]:
        given = event.get("headers")
        headers = dict(given) if isinstance(given, dict) else {}
        headers.pop(self._account.dropped_header or "", None)
        changed = {**event, "headers": headers}
        if self._account.rewritten_bodies and event.get("body"):
            changed["body"] = json.dumps(json.loads(str(event["body"])))
        return changed

    def _returned(self, outcome: Outcome) -> Outcome:
        if self._account.failures_are_200 and isinstance(outcome, Failed):
            return Returned({"errorCode": outcome.code})
        return outcome

    def code_of(self, namespace: str, name: str, qualifier: str) -> bytes:
        """Return what GetFunctionAddress's address leads to."""
        function = self._account.functions[namespace, name]
        return function.code if qualifier == "$LATEST" else self._version(function, qualifier)[1].code

    def _function(self, parameters: Mapping[str, Any]) -> Function:
        function = self._account.functions.get(_key(parameters))
        if function is None:
            raise error("scf", "ResourceNotFound.Function", "There is no such function.")
        return function

    def _active(self, parameters: Mapping[str, Any]) -> Function:
        function = self._function(parameters)
        if function.status != "Active":
            # https://cloud.tencent.com/document/product/583/115197
            raise error("scf", "FailedOperation.FunctionStatusError", f"The function is {function.status}.")
        return function

    def _version(self, function: Function, number: str) -> tuple[dict[str, Any], Version]:
        if number not in function.versions:
            raise error("scf", "ResourceNotFound.FunctionVersion", "There is no such version.")
        return function.versions[number]

    def _target(self, function: Function, qualifier: str) -> Version:
        number = function.aliases.get(qualifier, qualifier)
        if number == "$LATEST":
            assert function.latest is not None
            return function.latest
        return self._version(function, number)[1]

    def _found_trigger(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        for trigger in self._function(parameters).triggers:
            wanted = (parameters["TriggerName"], parameters["Type"], parameters.get("Qualifier", "$LATEST"))
            if (trigger["TriggerName"], trigger["Type"], trigger["Qualifier"]) == wanted:
                return trigger
        raise error("scf", "ResourceNotFound.Trigger", "There is no such trigger.")

    def _trigger(self, trigger: Mapping[str, Any]) -> dict[str, Any]:
        shown = {name: value for name, value in trigger.items() if name != "Url"}
        if trigger["Type"] == "http":
            description = json.loads(trigger["TriggerDesc"])
            network = description["NetConfig"]
            network["ExtranetUrl"] = trigger["Url"] if network.get("EnableExtranet") else ""
            shown["TriggerDesc"] = json.dumps(description)
        else:
            shown["TriggerDesc"] = json.dumps({"cron": trigger["TriggerDesc"]})
        return shown

    def _url_description(self, trigger: Mapping[str, Any]) -> None:
        try:
            description = json.loads(trigger["TriggerDesc"])
            assert description["AuthType"] in {"NONE", "CAM"}
            assert set(description["NetConfig"]) <= {
                "EnableExtranet",
                "EnableIntranet",
                "ExtranetUrl",
                "IntranetUrl",
            }
        except (ValueError, KeyError, AssertionError):
            raise error(
                "scf", "InvalidParameterValue.TriggerDesc", "Not a Function URL's description."
            ) from None

    def _check_configuration(self, parameters: Mapping[str, Any]) -> None:
        memory = parameters.get("MemorySize", 128)
        if memory != 64 and memory not in range(128, 3073, 128):
            raise error("scf", "InvalidParameterValue.MemorySize", "64, or a multiple of 128 up to 3072.")
        if parameters.get("Timeout", 3) not in range(1, 901):
            raise error("scf", "InvalidParameterValue.Timeout", "1 to 900 seconds.")
        if not _DESCRIPTION.fullmatch(parameters.get("Description", "")):
            raise error("scf", "InvalidParameterValue.Description", "Not a description.")
        role = parameters.get("Role")
        if role and role not in self._account.roles:
            raise error("scf", "InvalidParameter.RoleCheck", "There is no such role.")
        topic = parameters.get("ClsTopicId")
        if topic and topic not in self._account.topics:
            raise error("scf", "InvalidParameterValue.Cls", "There is no such log topic.")
        variables = parameters.get("Environment", {}).get("Variables", [])
        if sum(len(one["Key"]) + len(one["Value"]) for one in variables) > _VARIABLES_LIMIT:
            raise error("scf", "InvalidParameterValue.EnvironmentExceededLimit", "More than 4 KB.")
        for one in variables:
            if one["Key"].startswith(_RESERVED):
                raise error("scf", "InvalidParameterValue.EnvironmentSystemProtect", one["Key"])
            if self._account.environment_pattern and not _VALUE.fullmatch(one["Value"]):
                raise error("scf", "InvalidParameterValue.Environment", f"The value of {one['Key']}.")

    def _code(self, parameters: Mapping[str, Any]) -> bytes:
        if "ZipFile" in parameters:
            try:
                code = base64.b64decode(parameters["ZipFile"], validate=True)
            except binascii.Error:
                raise error("scf", "InvalidParameterValue.ZipFile", "Not base64.") from None
        else:
            name = f"{parameters['CosBucketName']}-{APP_ID}"
            if parameters.get("CosBucketRegion") != REGION or name not in self._account.buckets:
                raise error("scf", "InvalidParameterValue.CosBucketName", "There is no such bucket.")
            key = parameters["CosObjectName"]
            if not key.startswith("/") or key[1:] not in self._account.buckets[name]:
                raise error("scf", "InvalidParameterValue.CosObjectName", "There is no such object.")
            code = self._account.buckets[name][key[1:]]
        try:
            names = zipfile.ZipFile(io.BytesIO(code)).namelist()
        except zipfile.BadZipFile:
            raise error("scf", "InvalidParameterValue.ZipFile", "Not a zip.") from None
        if len(code) > _ZIP_LIMIT or "index.py" not in names:
            raise error("scf", "InvalidParameterValue.ZipFile", "Too large, or without index.py at its root.")
        return code


def _key(parameters: Mapping[str, Any]) -> tuple[str, str]:
    return parameters.get("Namespace", "default"), parameters["FunctionName"]


def _change(function: Function, status: str) -> None:
    function.status, function.polls_until_active = status, 1
    _refresh(function)


def _refresh(function: Function) -> None:
    variables = function.configuration.get("Environment", {}).get("Variables", [])
    function.latest = Version(
        function.code,
        {one["Key"]: one["Value"] for one in variables},
        float(function.configuration.get("Timeout", 3)),
    )
