"""What the official SDK needs to call a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

if TYPE_CHECKING:
    from tests.support.function_process import FunctionProcess


def credential(function: FunctionProcess) -> Credential:
    return Credential(function.info["secretId"], function.info["secretKey"])


def profile(function: FunctionProcess) -> ClientProfile:
    endpoint = function.url.removeprefix("http://").rstrip("/")
    return ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=endpoint))
