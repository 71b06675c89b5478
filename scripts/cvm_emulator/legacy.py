"""The legacy API on `/v2/index.php`: another format for the same account. It supports only CreateKeyPair.

Without Version, a request has camelCase parameters and gets `code`, `codeDesc`, `message` and `data`; with
Version 2017-03-12 it has the parameters of API v3 and gets its envelope. The numbers are the common ones of
https://cloud.tencent.com/document/api/309/7025; those of the live API for key pairs are not documented.
"""

import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from .answer import Answer, error_answer
from .errors import ApiError
from .service import VERSION, Service
from .signature import Credential
from .signature_v2 import SignatureV2

_ACTION = "CreateKeyPair"
_COMMON = {
    "Action", "Nonce", "Region", "RequestClient", "SecretId", "Signature", "SignatureMethod", "Timestamp",
    "Token", "Version",
}  # fmt: skip
_NAMES = {"keyName": "KeyName", "projectId": "ProjectId"}
_NUMBERS = {
    "InvalidParameter.SignatureFailure": 4100,
    "InvalidParameter.SecretIdNotFound": 4104,
    "InvalidRequest.TokenCheckFailed": 4105,
    "RequestLimitExceeded": 4400,
    "InvalidRequest.ReplayAttack": 4500,
    "InvalidProjectId.NotFound": 5000,
    "InvalidKeyPair.LimitExceeded": 5100,
    "InvalidKeyPairName.Duplicate": 5100,
    "InternalError": 6000,
    "InternalServerError": 6000,
    "NoSuchVersion": 6100,
}
_BAD_PARAMETER = 4000


class LegacyService:
    """The account of a service, through the legacy API."""

    def __init__(self, service: Service, credential: Credential) -> None:
        self._service = service
        self._signature = SignatureV2(credential)

    def answer(self, method: str, host: str, encoded: str) -> Answer:
        """Serve a request with the parameters `encoded` as in a query; `host` is its Host header."""
        request_id = str(uuid.uuid4())
        parameters = dict(parse_qsl(encoded, keep_blank_values=True))
        try:
            self._admit(method, host, parameters)
        except ApiError as refused:
            answer = error_answer(refused.code, refused.message, request_id)
        else:
            region = parameters.get("Region", "")
            answer = self._service.perform(_ACTION, lambda: _current(parameters), request_id, region)
        return answer if parameters.get("Version") == VERSION else _older_shape(answer)

    def _admit(self, method: str, host: str, parameters: Mapping[str, str]) -> None:
        action = parameters.get("Action", "")
        self._service.count(action)
        self._signature.authenticate(method, host, parameters, time.time())
        if parameters.get("Version", VERSION) != VERSION:
            raise ApiError("NoSuchVersion", "The version does not exist.")
        if action != _ACTION:
            raise ApiError("InvalidAction.NotFound", "The action does not exist.")
        self._service.admit(action)


def _current(parameters: Mapping[str, str]) -> dict[str, object]:
    """Return the parameters of the action as API v3 has them."""
    names = {} if "Version" in parameters else _NAMES
    current: dict[str, object] = {} if "Version" in parameters else {"ProjectId": 0}
    for name, value in parameters.items():
        if name not in _COMMON:
            current[names.get(name, name)] = value
    project = current.get("ProjectId")
    if isinstance(project, str) and re.fullmatch(r"[0-9]{1,18}", project):
        current["ProjectId"] = int(project)
    return current


def _older_shape(answer: Answer) -> Answer:
    """Return the answer in the older shape; an answer that a fault has made unreadable stays as it is."""
    try:
        response = json.loads(answer.body)["Response"]
    except ValueError:
        return answer
    if "Error" in response:
        code, message = response["Error"]["Code"], response["Error"]["Message"]
        number = _NUMBERS.get(code, _BAD_PARAMETER)
        body = {"code": number, "codeDesc": code, "message": f"({number}){message}"}
    else:
        key_pair = response.get("KeyPair", {})
        names = {"keyId": "KeyId", "keyName": "KeyName", "pubkey": "PublicKey", "secretkey": "PrivateKey"}
        data = {legacy: key_pair[name] for legacy, name in names.items() if name in key_pair}
        body = {"code": 0, "codeDesc": "Success", "message": "", "data": data}
    return replace(answer, body=json.dumps(body, separators=(",", ":")).encode())
