"""What a request cannot do without: two calls of the SDK over connections of their own, and sealing."""

import json
import os
from typing import Any

import pyrage
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile


def _call(action: str, parameters: dict[str, object]) -> dict[str, Any]:
    protocol, _, host = os.environ["KEYPAIR_CVM_ENDPOINT"].partition("://")
    profile = ClientProfile(httpProfile=HttpProfile(protocol=protocol, endpoint=host))
    credential = Credential(os.environ["TENCENTCLOUD_SECRETID"], os.environ["TENCENTCLOUD_SECRETKEY"])
    client = CommonClient("cvm", "2017-03-12", credential, os.environ["KEYPAIR_REGION"], profile)
    answer: dict[str, Any] = client.call_json(action, parameters)["Response"]
    return answer


def main_handler(event: dict[str, str], context: object) -> dict[str, object]:  # noqa: ARG001  # SCF passes it
    """Create a key pair, describe it, and seal the private key."""
    order = json.loads(event["body"])
    pair = _call("CreateKeyPair", {"KeyName": order["keyName"], "ProjectId": 0})["KeyPair"]
    _call("ModifyKeyPairAttribute", {"KeyId": pair["KeyId"], "Description": "issued"})
    to = [pyrage.x25519.Recipient.from_str(text) for text in order["recipients"]]
    return {"statusCode": 201, "body": pyrage.encrypt(pair["PrivateKey"].encode(), to, armored=True).decode()}
