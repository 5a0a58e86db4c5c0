"""Translations of the nodes: whole, of the English texts that there are now, and such as ComfyUI's page can show."""

import json
import re
from typing import Any

import pytest

from . import locales
from .comfy_stubs import comfy
from .locales import LANGUAGES, as_json, build, read, strings, target

#: What some languages write as English does.
ALIKE = {
    "": {"x", "y"},
    "es": {"factor"},
    "fr": {"image"},
    "pt-BR": {"megapixels"},
}
#: What translations keep: names, numbers, paths, and the values of menus that a text explains.
KEPT = re.compile(
    r"ESC|ComfyUI|Hugging Face|Lanczos|GiB|\d+(?:\.\d+)?|\w+/[\w/.]*\w|\b(?:auto|fit|fill|stretch)\b", re.ASCII
)


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    return locales.english()


def kept(text: str) -> set[str]:
    return set(KEPT.findall(text.replace("1,25", "1.25")))


def test_there_are_the_languages_of_comfyuis_page() -> None:
    assert LANGUAGES == ["es", "fr", "ja", "ko", "pt-BR", "ru", "zh", "zh-TW"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_the_nodes_is_translated(language: str, source: dict[str, Any]) -> None:
    translated = read(language)["texts"]
    missing = [text for text in dict.fromkeys(strings(source)) if text not in translated]
    assert not missing, (
        f"locales/{language}.json needs translations of these texts, which are new or have changed: {missing}"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_else_is_translated(language: str, source: dict[str, Any]) -> None:
    left = sorted(read(language)["texts"].keys() - set(strings(source)))
    assert not left, f"no node has these texts any more; take them out of locales/{language}.json: {left}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_comfyui_reads_what_the_translations_say(language: str, source: dict[str, Any]) -> None:
    written = target(language).read_text(encoding="utf-8")
    assert written == as_json(build(language, source)), "run python -m tests.locales and commit what it writes"


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_are_not_english_and_keep_what_has_no_language(language: str) -> None:
    for english, text in read(language)["texts"].items():
        assert text.strip() == text != "", english
        assert text != english or english in ALIKE[""] | ALIKE.get(language, set()), f"{english!r} isn't translated"
        assert kept(text) >= kept(english), f"{text!r} lacks {kept(english) - kept(text)}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_takes_no_text_for_its_own_message_syntax(language: str) -> None:
    """Of ``{name}``, ``@:key`` and ``a | b`` it makes something else."""
    assert not [text for text in read(language)["texts"].values() if set(text) & set("{}@|")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_files_have_only_what_comfyui_knows(language: str) -> None:
    nodes = json.loads(target(language).read_text(encoding="utf-8"))
    assert read(language).keys() == {"checked_by", "texts"}
    assert ("made by a machine" in nodes.pop("//")) != bool(read(language)["checked_by"])
    for node in nodes.values():
        assert node.keys() == {"display_name", "description", "inputs", "outputs"}
        assert all(part.keys() <= {"name", "tooltip"} for group in ("inputs", "outputs") for part in node[group].values())


def test_sockets_have_no_other_name_than_their_translated_one() -> None:
    """Where a socket has a ``display_name``, the page shows that in every language."""
    with comfy("2026") as host:
        inputs = [part for node in host.nodes.values() for part in node.define_schema().inputs]
    assert not [part.id for part in inputs if not widget(part) and "display_name" in part.values]


def widget(part: Any) -> bool:
    return "default" in part.values or "options" in part.values


def test_a_changed_text_has_no_translation() -> None:
    tree = {"ESC_A": {"display_name": "Same", "inputs": {"a": {"name": "a", "tooltip": "Changed."}}}}
    told = locales.translated(tree, {"Same": "Gleich", "a": "a", "Changing.": "Wechselnd."})
    assert told == {"ESC_A": {"display_name": "Gleich", "inputs": {"a": {"name": "a"}}}}
