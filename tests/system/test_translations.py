"""Pages in Chinese follow the English ones: the same sections, commands, tables and links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.function_process import ROOT

TRANSLATIONS = [
    path.relative_to(ROOT) for path in sorted([*ROOT.glob("*.zh-CN.md"), *ROOT.glob("docs/*.zh-CN.md")])
]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def text_of(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def original(page: Path) -> Path:
    return page.with_name(page.name.replace(".zh-CN", ""))


def headings(text: str) -> list[str]:
    """Return the levels of the headings."""
    return re.findall(r"^(#+) ", _BLOCK.sub("", text), re.MULTILINE)


def commands(text: str) -> list[str]:
    """Return the lines of all blocks in a language, without comments."""
    lines = [line for _, language, block in _BLOCK.findall(text) if language for line in block.splitlines()]
    return [re.sub(r"\s*(^|\s)#.*", "", line) for line in lines]


def items(text: str) -> list[int]:
    """Return how many numbered steps, bullets and rows of tables each section has."""
    sections = re.split(r"^#+ ", _BLOCK.sub("", text), flags=re.MULTILINE)
    return [len(re.findall(r"^ *(?:\d+\.|-|\|)\s", section, re.MULTILINE)) for section in sections]


def names(text: str) -> set[str]:
    """Return what stands in code marks: commands, settings, paths, reasons."""
    return set(re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text)))


def links(text: str) -> set[str]:
    """Return where a page leads to, whatever the language of that page."""
    targets = re.findall(r"\]\(([^)#]+)", _BLOCK.sub("", text))
    return {target.replace(".zh-CN", "").replace("-zh.png", ".png") for target in targets}


def test_there_are_translations() -> None:
    assert Path("README.zh-CN.md") in TRANSLATIONS


@pytest.mark.parametrize("page", TRANSLATIONS, ids=str)
def test_a_translation_has_the_sections_of_its_original(page: Path) -> None:
    assert headings(text_of(page)) == headings(text_of(original(page)))
    assert items(text_of(page)) == items(text_of(original(page)))


@pytest.mark.parametrize("page", TRANSLATIONS, ids=str)
def test_a_translation_has_the_commands_of_its_original(page: Path) -> None:
    assert commands(text_of(page)) == commands(text_of(original(page)))
    assert names(text_of(page)) == names(text_of(original(page)))


@pytest.mark.parametrize("page", TRANSLATIONS, ids=str)
def test_a_translation_has_the_links_of_its_original(page: Path) -> None:
    own = {original(page).name, page.name.replace(".zh-CN", "")}
    assert links(text_of(page)) - own == links(text_of(original(page))) - own
    for target in re.findall(r"\]\(([^)#:]+)[)#]", text_of(page)):
        assert (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("page", TRANSLATIONS, ids=str)
def test_a_translation_is_linked_from_its_original(page: Path) -> None:
    assert f"]({page.name})" in text_of(original(page))
    assert f"]({original(page).name})" in text_of(page)
