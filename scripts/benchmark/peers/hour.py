"""The yardstick: what an engineer writes in an hour for the same purpose. It checks nothing but its input."""

import json
import os

import pyrage
from pydantic import BaseModel, Field
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile


class Order(BaseModel):
    """The body of a request."""

    keyName: str = Field(pattern="^[A-Za-z0-9_]{1,25}$")  # noqa: N815  # the name on the wire
    recipients: list[str] = Field(min_length=1)


def main_handler(event: dict[str, str], context: object) -> dict[str, object]:  # noqa: ARG001  # SCF passes it
    """Create a key pair and seal the private key."""
    order = Order.model_validate_json(event["body"])
    protocol, _, host = os.environ["KEYPAIR_CVM_ENDPOINT"].partition("://")
    profile = ClientProfile(httpProfile=HttpProfile(protocol=protocol, endpoint=host))
    credential = Credential(os.environ["TENCENTCLOUD_SECRETID"], os.environ["TENCENTCLOUD_SECRETKEY"])
    client = CommonClient("cvm", "2017-03-12", credential, os.environ["KEYPAIR_REGION"], profile)
    answer = client.call_json("CreateKeyPair", {"KeyName": order.keyName, "ProjectId": 0})
    pair = answer["Response"]["KeyPair"]
    to = [pyrage.x25519.Recipient.from_str(text) for text in order.recipients]
    sealed = pyrage.encrypt(pair["PrivateKey"].encode(), to, armored=True)
    body = {"keyId": pair["KeyId"], "publicKey": pair["PublicKey"], "ciphertext": sealed.decode()}
    return {"statusCode": 201, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
