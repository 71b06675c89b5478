"""Messages in Chinese where the locale is, and a catalogue that lacks none."""

from __future__ import annotations

import ast
from string import Formatter
from typing import TYPE_CHECKING

import pytest

from client.chinese import CHINESE
from client.language import is_chinese
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.function_process import ROOT
from tests.support.function_under_test import fresh_name

if TYPE_CHECKING:
    from tests.support.client_command import Home


def messages() -> set[str]:
    """Return every text that is given to `tr` in client/; each is a literal, so that it can be found."""
    found = set()
    for path in (ROOT / "client").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr":
                text = node.args[0]
                assert isinstance(text, ast.Constant), f"{path}:{node.lineno}"
                found.add(str(text.value))
    return found


def placeholders(text: str) -> list[tuple[str, str | None, str | None]]:
    return sorted((name, form, conversion) for _, name, form, conversion in Formatter().parse(text) if name)


def test_every_message_has_a_translation_and_no_other_text_does() -> None:
    assert messages() == set(CHINESE)


@pytest.mark.parametrize("english", [text for text in CHINESE if "{" in text and "{ " not in text])
def test_translations_have_the_same_placeholders(english: str) -> None:
    assert placeholders(CHINESE[english]) == placeholders(english)


def test_translations_name_the_same_options_and_codes() -> None:
    for english, chinese in CHINESE.items():
        for word in english.replace(",", " ").replace(";", " ").replace(".", " ").split():
            if word.startswith(("--", "KP_")) or word.isdigit():
                assert word.rstrip(":") in chinese, english


@pytest.mark.parametrize(
    ("environment", "chinese"),
    [
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_TW.UTF-8", "LC_ALL": ""}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, False),
        ({"LANG": "de_DE.UTF-8"}, False),
    ],
)
def test_the_locale_decides(environment: dict[str, str], chinese: bool) -> None:  # noqa: FBT001  # a parameter of the test
    assert is_chinese(environment) is chinese


def test_the_command_in_chinese(home: Home) -> None:
    done = home.run("create", "web-1", status=2, environment={"LANG": "zh_CN.UTF-8"})
    assert "不能用作密钥对名称" in done.stderr
    assert "例如：web_1" in done.stderr
    shown = home.run("--help", environment={"LANG": "zh_CN.UTF-8"}).stdout
    assert "创建密钥对并保存私钥" in shown
    assert "退出码" in shown


def test_what_the_function_advises_in_chinese(home: Home) -> None:
    order = ("create", fresh_name(), "--recipient", "-")
    done = home.run(*order, status=6, stdin="ssh-ed25519 AAAA\n", environment={"LANG": "zh_CN.UTF-8"})
    assert RecipientProblem.SSH_MALFORMED.advice_zh in done.stderr.replace("\n", "")
