"""The emulator's bad conduct: each kind shows, and only where it is switched on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.function_under_test import fresh_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmulatorProcess]:
    with running_emulator(quota=1000) as process:
        yield process


@pytest.fixture(autouse=True)
def documented(cloud: EmulatorProcess) -> Iterator[None]:
    yield
    cloud.behave()
    cloud.control("DELETE", "/tags")


def call(
    cloud: EmulatorProcess, action: str, parameters: Mapping[str, object], region: str = "ap-guangzhou"
) -> dict[str, Any]:
    http = HttpProfile(protocol="http", endpoint=cloud.cvm_endpoint.removeprefix("http://"))
    credential = Credential(cloud.secret_id, cloud.secret_key)
    client = CommonClient("cvm", "2017-03-12", credential, region, ClientProfile(httpProfile=http))
    answer: dict[str, Any] = json.loads(client.call(action, dict(parameters)))["Response"]
    return answer


def code(cloud: EmulatorProcess, action: str, parameters: Mapping[str, object]) -> str:
    with pytest.raises(TencentCloudSDKException) as refused:
        call(cloud, action, parameters)
    return str(refused.value.get_code())


def create(cloud: EmulatorProcess, region: str = "ap-guangzhou", **tags: str) -> str:
    parameters: dict[str, object] = {"KeyName": fresh_name(), "ProjectId": 0}
    if tags:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        parameters["TagSpecification"] = [{"ResourceType": "keypair", "Tags": pairs}]
    key_id: str = call(cloud, "CreateKeyPair", parameters, region)["KeyPair"]["KeyId"]
    return key_id


def by_id(cloud: EmulatorProcess, key_id: str, region: str = "ap-guangzhou") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call(cloud, "DescribeKeyPairs", {"KeyIds": [key_id]}, region)["KeyPairSet"]
    return found


def by_tag(cloud: EmulatorProcess, key: str) -> list[dict[str, Any]]:
    wanted = {"Filters": [{"Name": "tag-key", "Values": [key]}]}
    found: list[dict[str, Any]] = call(cloud, "DescribeKeyPairs", wanted)["KeyPairSet"]
    return found


def test_describe_lags(cloud: EmulatorProcess) -> None:
    cloud.behave(lag={"describe": 2})
    key_id = create(cloud)
    assert [len(by_id(cloud, key_id)) for _ in range(4)] == [0, 0, 1, 1]


def test_filters_lag_and_ids_do_not(cloud: EmulatorProcess) -> None:
    cloud.behave(lag={"filter": 1})
    key_id = create(cloud, lagging="yes")
    assert len(by_id(cloud, key_id)) == 1
    assert [len(by_tag(cloud, "lagging")) for _ in range(2)] == [0, 1]


def test_tags_lag(cloud: EmulatorProcess) -> None:
    cloud.behave(lag={"tags": 1})
    key_id = create(cloud, late="yes")
    assert [len(by_id(cloud, key_id)[0]["Tags"]) for _ in range(2)] == [0, 1]


def test_descriptions_lag(cloud: EmulatorProcess) -> None:
    cloud.behave(lag={"description": 1})
    key_id = create(cloud)
    call(cloud, "ModifyKeyPairAttribute", {"KeyId": key_id, "Description": "said"})
    assert [by_id(cloud, key_id)[0]["Description"] for _ in range(2)] == ["", "said"]


@pytest.mark.parametrize(
    ("lagging", "action"), [("modify", "ModifyKeyPairAttribute"), ("delete", "DeleteKeyPairs")]
)
def test_changes_lag(cloud: EmulatorProcess, lagging: str, action: str) -> None:
    cloud.behave(lag={lagging: 1})
    key_id = create(cloud)
    change = {"KeyId": key_id, "Description": "said"} if lagging == "modify" else {"KeyIds": [key_id]}
    assert code(cloud, action, change) == "InvalidKeyPairId.NotFound"
    call(cloud, action, change)


def test_deleted_key_pairs_stay_in_view(cloud: EmulatorProcess) -> None:
    cloud.behave(lag={"deleted": 1})
    key_id = create(cloud)
    call(cloud, "DeleteKeyPairs", {"KeyIds": [key_id]})
    assert [len(by_id(cloud, key_id)) for _ in range(2)] == [1, 0]


def test_fields_are_left_out(cloud: EmulatorProcess) -> None:
    key_id = create(cloud)
    cloud.behave(leftOut=["Description", "Tags"])
    assert not {"Description", "Tags"} & by_id(cloud, key_id)[0].keys()


def test_fields_are_dropped(cloud: EmulatorProcess) -> None:
    cloud.behave(dropped=["Description", "Tags"])
    key_id = create(cloud, gone="yes")
    call(cloud, "ModifyKeyPairAttribute", {"KeyId": key_id, "Description": "said"})
    (shown,) = by_id(cloud, key_id)
    assert (shown["Description"], shown["Tags"]) == ("", [])


def test_rights_by_action(cloud: EmulatorProcess) -> None:
    cloud.behave(denied=["ModifyKeyPairAttribute"])
    key_id = create(cloud)
    change = {"KeyId": key_id, "Description": "said"}
    assert code(cloud, "ModifyKeyPairAttribute", change) == "UnauthorizedOperation"
    assert len(by_id(cloud, key_id)) == 1


def test_regions_are_separate(cloud: EmulatorProcess) -> None:
    cloud.behave(separateRegions=True)
    key_id = create(cloud, region="ap-shanghai")
    assert not by_id(cloud, key_id)
    assert by_id(cloud, key_id, region="ap-shanghai")


def test_balance(cloud: EmulatorProcess) -> None:
    cloud.behave(insufficientBalance=True)
    wanted = {"KeyName": fresh_name(), "ProjectId": 0}
    assert code(cloud, "CreateKeyPair", wanted) == "InvalidAccount.InsufficientBalance"


def tagged(key: str, value: str) -> dict[str, object]:
    tags = [{"Key": key, "Value": value}]
    return {
        "KeyName": fresh_name(),
        "ProjectId": 0,
        "TagSpecification": [{"ResourceType": "keypair", "Tags": tags}],
    }


def test_quota_of_values_for_one_key(cloud: EmulatorProcess) -> None:
    cloud.behave(tagValuesPerKey=2)
    for value in ("1", "2", "2"):
        key_id = create(cloud, counted=value)
        # A tag outlives what bore it.
        call(cloud, "DeleteKeyPairs", {"KeyIds": [key_id]})
    assert code(cloud, "CreateKeyPair", tagged("counted", "3")) == "LimitExceeded.TagValue"
    assert {("counted", "1"), ("counted", "2")} <= cloud.tags()


def test_quota_of_tags_in_all(cloud: EmulatorProcess) -> None:
    create(cloud, one="1")
    cloud.behave(tagsInAll=len(cloud.tags()))
    create(cloud, one="1")
    assert code(cloud, "CreateKeyPair", tagged("one", "2")) == "LimitExceeded.TagResourceQuota"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("project", "x", "FailedOperation.TagKeyReserved"),
        ("项目", "x", "FailedOperation.TagKeyReserved"),
        ("ключ", "x", "FailedOperation.IllegalTagKey"),
        ("key", "naïve", "FailedOperation.IllegalTagValue"),
    ],
)
def test_characters_and_reserved_keys(cloud: EmulatorProcess, key: str, value: str, expected: str) -> None:
    assert code(cloud, "CreateKeyPair", tagged(key, value)) == expected


def test_nobody_can_switch_on_what_there_is_not(cloud: EmulatorProcess) -> None:
    with pytest.raises(OSError, match="400"):
        cloud.behave(lag={"everything": 1})
