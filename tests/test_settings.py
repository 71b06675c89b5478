"""Settings: what is taken, and what an operator is told of what is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from handler.errors import SettingsInvalid
from handler.scf.invocation import Credentials
from handler.settings import PACKED_POLICY, Settings, decode_secret, effective_environ
from scripts.deployment.function_settings import environment_variables
from tests.support.least_settings import LEAST, SECRET


def test_the_least() -> None:
    settings = Settings.from_environ(
        {**LEAST, "PATH": "/bin", "keypair_region": "x", "TENCENTCLOUD_REGION": "y"}
    )
    assert settings.region == "ap-guangzhou"
    assert settings.hosts == ("keys.example.com",)
    assert settings.master_secrets == (bytes(31) + b"\x0f",)
    assert (settings.policy, settings.store, settings.cvm_endpoint) == (PACKED_POLICY, "memory:", None)
    assert PACKED_POLICY.name == "policy.json"


def test_everything() -> None:
    settings = Settings.from_environ(
        {
            **LEAST,
            "KEYPAIR_HOSTS": "Keys.Example.com:9443,127.0.0.1:18080,http://localhost:9000,localhost:9000",
            "KEYPAIR_PREVIOUS_MASTER_SECRET": "_" * 64,
            "KEYPAIR_POLICY": "/opt/policy.json",
            "KEYPAIR_STORE": "rediss://user:pass%40word@redis.example.com:6380/1",
            "KEYPAIR_CVM_ENDPOINT": "http://127.0.0.1:12345",
        }
    )
    assert settings.hosts == (
        "keys.example.com:9443",
        "127.0.0.1:18080",
        "http://localhost:9000",
        "localhost:9000",
    )
    assert settings.master_secrets == (decode_secret(SECRET), b"\xff" * 48)
    assert settings.policy == Path("/opt/policy.json")
    assert settings.cvm_endpoint == "http://127.0.0.1:12345"


def test_no_secret_is_shown() -> None:
    store = "rediss://:pass-word@redis.example.com"
    settings = Settings.from_environ(
        {**LEAST, "KEYPAIR_PREVIOUS_MASTER_SECRET": "B" * 43, "KEYPAIR_STORE": store}
    )
    for text in (repr(settings), str(settings)):
        assert "secret" not in text
        assert "pass-word" not in text


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("KEYPAIR_REGION", ["", "guangzhou", "AP-GUANGZHOU", "ap-guangzhou\n", "ap-" + "a" * 30, "gz"]),
        (
            "KEYPAIR_HOSTS",
            ["", ",", "a,", "a,,b", "a, b", "https://a", "a/b", "a:", "a:x", "a:123456", "-a", "a-", "a_b",
            "*.a", "ä", "a" * 254, "http://a", "a,http://b", "http://a:1,a"],
        ),
        (
            "KEYPAIR_MASTER_SECRET",
            ["", "A" * 42, "A" * 42 + "=", "A" * 43 + "=", "A" * 43 + "\n", "A" * 42 + "+", "A" * 45,
            "A" * 42 + "ä", "hunter2"],
        ),
        ("KEYPAIR_PREVIOUS_MASTER_SECRET", ["A" * 42, "A" * 45]),
        (
            "KEYPAIR_STORE",
            ["", "memory", "memory:x", "sqlite:", "sqlite:relative", "redis:", "redis://",
            "redis://h?ssl_cert_reqs=none", "postgres://h", "redis://h:65536", "redis://h:1/x",
            "unix:///tmp/s"],
        ),
        ("KEYPAIR_CVM_ENDPOINT", ["cvm.example.com", "ftp://a", "http://", "http://a/b", "http://a?b",
        "http://A", "http://a b", "http://a\n"]),
    ],
)  # fmt: skip
def test_malformed_values(name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(SettingsInvalid) as refused:
            Settings.from_environ({**LEAST, name: value})
        text = str(refused.value)
        assert text.startswith(f"{name} is malformed; it takes "), value
        assert not value or value not in text.partition("; it takes ")[0]
        if len(value) > 20:
            assert value not in text
            # What a traceback would show, if ever one is written.
            assert value not in str(refused.value.__context__)
        assert refused.value.__cause__ is None
        assert refused.value.args == ("The function is not configured correctly.",)


@pytest.mark.parametrize("name", LEAST)
def test_missing_ones(name: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        Settings.from_environ({other: value for other, value in LEAST.items() if other != name})
    assert str(refused.value).startswith(f"{name} is missing; it takes ")


def test_optional_ones_that_are_set_to_nothing() -> None:
    optional = (
        "PREVIOUS_MASTER_SECRET",
        "RETIRED_MASTER_SECRETS",
        "STORE_WITHOUT_TLS",
        "PUBLIC_URL",
        "CVM_ENDPOINT",
    )
    empty = {f"KEYPAIR_{name}": "" for name in optional}
    assert Settings.from_environ({**LEAST, **empty}) == Settings.from_environ(LEAST)
    with pytest.raises(SettingsInvalid, match="KEYPAIR_PREVIOS_MASTER_SECRET is not a setting"):
        Settings.from_environ({**LEAST, "KEYPAIR_PREVIOS_MASTER_SECRET": ""})


def test_one_that_is_set_to_nothing_does_not_hide_what_is_packed(tmp_path: Path) -> None:
    packed = tmp_path / "settings.json"
    packed.write_text('{"KEYPAIR_STORE": "rediss://r.example:6379"}')
    environ = {name: value for name, value in LEAST.items() if name != "KEYPAIR_STORE"}
    for given in (environ, {**environ, "KEYPAIR_STORE": ""}):
        assert effective_environ(given, packed)["KEYPAIR_STORE"] == "rediss://r.example:6379"


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        Settings.from_environ({"KEYPAIR_REGION": "x", "KEYPAIR_STORE": "y"})
    faults = [fault for fault in str(refused.value).split("; ") if fault.startswith("KEYPAIR_")]
    assert faults == [
        "KEYPAIR_REGION is malformed",
        "KEYPAIR_HOSTS is missing",
        "KEYPAIR_MASTER_SECRET is missing",
        "KEYPAIR_STORE is malformed",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "KEYPAIR_",
        "KEYPAIR_REGIONS",
        "KEYPAIR_MASTERSECRET",
        "KEYPAIR_region",
        "KEYPAIR_Region",
        "KEYPAIR_MASTER_SECRETS",
    ],
)
def test_unknown_names(name: str) -> None:
    """A misspelt name is not a setting that is silently left out."""
    with pytest.raises(SettingsInvalid) as refused:
        Settings.from_environ({**LEAST, name: "a-value-that-may-be-secret"})
    assert str(refused.value) == f"{name} is not a setting; remove it or correct its name"


# ---------------------------------------------------------------- credentials

ROLE = {
    "TENCENTCLOUD_SECRETID": "id",
    "TENCENTCLOUD_SECRETKEY": "key-of-role",
    "TENCENTCLOUD_SESSIONTOKEN": "token",
}
SDK = {
    "TENCENTCLOUD_SECRET_ID": "sdk",
    "TENCENTCLOUD_SECRET_KEY": "key-of-sdk",
    "TENCENTCLOUD_TOKEN": "sdk-token",
}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (ROLE, Credentials("id", "key-of-role", "token")),
        (SDK, Credentials("sdk", "key-of-sdk", "sdk-token")),
        ({**ROLE, **SDK}, Credentials("id", "key-of-role", "token")),
        ({**ROLE, "TENCENTCLOUD_SESSIONTOKEN": ""}, Credentials("id", "key-of-role", None)),
        (
            {**SDK, "TENCENTCLOUD_SECRETID": "", "TENCENTCLOUD_SECRETKEY": ""},
            Credentials("sdk", "key-of-sdk", "sdk-token"),
        ),
        ({"TENCENTCLOUD_SECRET_ID": "a", "TENCENTCLOUD_SECRET_KEY": "b"}, Credentials("a", "b", None)),
    ],
)
def test_credentials(environ: dict[str, str], expected: Credentials) -> None:
    credentials = Credentials.from_environ(environ)
    assert credentials == expected
    assert credentials.secret_key not in repr(credentials)
    assert "token" not in repr(credentials).replace("token=", "")


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({}, "no cloud credentials: give the function an execution role"),
        (
            {"TENCENTCLOUD_SECRETID": "id"},
            "TENCENTCLOUD_SECRETID and TENCENTCLOUD_SECRETKEY belong together; one of them is empty",
        ),
        # Half of the role's must not fall back to another identity.
        (
            {**SDK, "TENCENTCLOUD_SECRETKEY": "key"},
            "TENCENTCLOUD_SECRETID and TENCENTCLOUD_SECRETKEY belong together; one of them is empty",
        ),
        (
            {"TENCENTCLOUD_SECRET_KEY": "key"},
            "TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY belong together; one of them is empty",
        ),
    ],
)
def test_half_set_credentials(environ: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        Credentials.from_environ(environ)
    assert str(refused.value) == text


def encoded(name: str, text: str) -> dict[str, str]:
    """Return the variables that scripts/deploy makes of a value that SCF's pattern forbids."""
    return environment_variables({name: text})


@pytest.mark.parametrize("length", [1, 36, 37, 38, 120])
def test_a_value_in_base32_is_read_however_long_it_is(length: int) -> None:
    store = "rediss://:" + "p" * length + "@redis.example.com"
    written = encoded("KEYPAIR_STORE", store)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{1,63}", value) for value in written.values())
    assert Settings.from_environ(effective_environ({**LEAST, **written})).store == store


def test_a_master_secret_in_base32_is_the_same_secret() -> None:
    secret = "-" + SECRET[1:]
    written = encoded("KEYPAIR_MASTER_SECRET", secret)
    assert len(written) == 2
    settings = Settings.from_environ(effective_environ({**LEAST, **written}))
    assert settings.master_secrets == (decode_secret(secret),)


def test_a_secret_that_only_looks_like_base32_stays_what_it_is() -> None:
    secret = "b32_" + "a" * 39  # base32 has no small letters
    settings = Settings.from_environ(effective_environ({**LEAST, "KEYPAIR_MASTER_SECRET": secret}))
    assert settings.master_secrets == (decode_secret(secret),)


def test_a_piece_without_its_beginning_is_an_unknown_setting() -> None:
    with pytest.raises(SettingsInvalid, match=r"^KEYPAIR_STORE_2 is not a setting"):
        Settings.from_environ(effective_environ({**LEAST, "KEYPAIR_STORE_2": "b32_MFRGG"}))


def test_settings_packed_beside_the_code_count_unless_a_variable_says_otherwise(tmp_path: Path) -> None:
    packed = tmp_path / "settings.json"
    packed.write_text(json.dumps({**LEAST, "KEYPAIR_STORE": "rediss://packed"}), "utf-8")
    assert Settings.from_environ(effective_environ({}, packed)).store == "rediss://packed"
    variables = {"KEYPAIR_STORE": "rediss://environment"}
    settings = Settings.from_environ(effective_environ(variables, packed))
    assert settings.store == "rediss://environment"
    assert settings.region == LEAST["KEYPAIR_REGION"]
