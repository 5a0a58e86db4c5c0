"""YAML that people and attackers write: read as it was meant, or one line that says what is wrong."""

import pytest
import yaml

from esc_plugin.catalog.manifest import read_manifest
from esc_plugin.errors import EscError
from esc_plugin.strict_yaml import MAX_CHARACTERS, parse_yaml, read_yaml
from esc_plugin.texts import quoted
from esc_plugin.train.recipe import RecipeError, parse_change, read_recipe

from .confined import run_confined

TEMPLATES = "t:\n  a: &a {x: 1, y: 1}\n  b: &b {x: 2, z: 2}\n  c: &c {<<: *a, x: 3}\n"
LAUGHS = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("1", 1),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        (TEMPLATES + "m: {<<: *a, x: 9}", {"x": 9, "y": 1}),
        (TEMPLATES + "m: {x: 9, <<: *a}", {"x": 9, "y": 1}),
        (TEMPLATES + "m: {<<: [*c, {w: 0}]}", {"x": 3, "y": 1, "w": 0}),
        (TEMPLATES + "m: {<<: *c}\nn: {<<: *c}", {"x": 3, "y": 1}),
        (TEMPLATES + "m: {<<: *c}\nn: {<<: *c, x: 4}", {"x": 3, "y": 1}),
        (TEMPLATES + "m: {<<: []}", {}),
        (TEMPLATES + "m: {<<: [*a, *a]}", {"x": 1, "y": 1}),
    ],
)
def test_what_is_meant(text, value):
    content = parse_yaml(text, "text")
    assert (content["m"] if isinstance(content, dict) else content) == value


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("m: {<<: [*a, *b]}", 5, ["templates", "'x'", "'1' (line 2)", "'2' (line 3)"]),
        ("m:\n  <<: [*b, *a]", 6, ["templates", "'x'", "'2' (line 3)", "'1' (line 2)"]),
        ("m:\n- <<: [*b, *c]\n  x: 5", 6, ["templates", "'x'", "'2' (line 3)", "'3' (line 4)"]),
        ("m: {<<: *a, <<: *b}", 5, ["'<<' is there twice"]),
        ("m: {x: 1,\n x: 2}", 6, ["'x' is there twice, as '1' (line 5) and as '2' (line 6)"]),
        ("m: &m [*m]", 5, ["without end"]),
        ("m: {[1]: 2}", 5, ["a key must be"]),
        ("m: {<<: 3}", 5, ["what is merged must be a mapping"]),
        ("m: [", 6, ["no YAML"]),
    ],
)
def test_what_is_refused_by_line(text, line, parts):
    with pytest.raises(EscError) as info:
        parse_yaml(TEMPLATES + text + "\n", "some/file.yaml")
    said = str(info.value)
    assert said.startswith("some/file.yaml: ")
    assert f"in line {line}: " in said
    assert all(part in said for part in parts), said


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "[" * 60 + "]" * 60,
        "2024-99-99",
        "!!timestamp x",
        "!!bool maybe",
        "!!int x",
        "!!python/name:os.system ",
        "a\x07b",
        "9" * 5000,
        "x" * (MAX_CHARACTERS + 1),
        "[" + "1, " * 30_000 + "]",
        "--- 1\n--- 2",
        LAUGHS,
    ],
)
def test_anything_else_is_one_line(text):
    with pytest.raises(EscError) as info:
        parse_yaml(text, "text")
    assert "\n" not in str(info.value)
    assert len(str(info.value)) < 500


def test_files(tmp_path):
    path = tmp_path / "a.yaml"
    with pytest.raises(FileNotFoundError):
        read_yaml(path)
    path.write_bytes("\ufeffa: ä".encode())
    assert read_yaml(path) == {"a": "ä"}
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(EscError, match=r"a\.yaml: this is no YAML: it is not text"):
        read_yaml(path)
    with pytest.raises(EscError, match="can't be read"):
        read_yaml(tmp_path)


def test_errors_stay_short():
    deep = ["ha"] * 1000
    for _ in range(20):
        deep = [deep] * 1000
    for value in (deep, dict.fromkeys(range(1000), deep), "x" * 10**6, 1 << 10**6, {"a": deep}):
        assert len(quoted(value)) < 500
    assert quoted("it's") == '"it\'s"'


PROGRAM = """
import sys
from pathlib import Path
from esc_plugin.errors import EscError
from esc_plugin.catalog.manifest import read_manifest
from esc_plugin.train.recipe import parse_change, read_recipe
READ = {
    "manifest": lambda path: read_manifest(path),
    "recipe": lambda path: read_recipe(path),
    "change": lambda path: read_recipe("nano", dict([parse_change("data=" + path.read_text())])),
}
try:
    READ[sys.argv[1]](Path(sys.argv[2]))
except EscError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("manifest", LAUGHS + "models: *a11"),
        ("manifest", LAUGHS + "models:\n- name: *a11\n"),
        ("recipe", LAUGHS + "scale: *a11"),
        ("recipe", LAUGHS + "data: {folders: *a11}"),
        ("recipe", "scale: 0x" + "f" * 10_000),
        ("recipe", "optimizer: {lr: 0x" + "f" * 10_000 + "}"),
        ("recipe", "0x" + "f" * 10_000 + ": 1"),
        ("change", "[" * 5000),
    ],
)
def test_few_lines_that_stand_for_very_much(tmp_path, kind, text):
    (tmp_path / "x.yaml").write_text(text)
    said = run_confined(PROGRAM, kind, tmp_path / "x.yaml")
    assert said.count("\n") == 1
    assert 10 < len(said) < 1000


def test_both_readers_refuse_the_same(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {p: 1}\nb: &b {p: 2}\ndata: {<<: [*a, *b]}\nmodels: []\n")
    for read, error in ((read_manifest, EscError), (read_recipe, RecipeError)):
        with pytest.raises(error, match=r"x\.yaml: a mistake in line 3: templates define the same key 'p'"):
            read(path)
    with pytest.raises(RecipeError, match="can't read the value of data: a mistake in line 1: 'x' is there twice"):
        parse_change("data={x: 1, x: 2}")


@pytest.mark.parametrize("value", [".nan", ".inf", "1e999", "1" + "0" * 400, "[1]", "data"])
def test_numbers_of_recipes_are_finite(value):
    with pytest.raises(RecipeError, match=r"optimizer\.lr: .* is not a number"):
        read_recipe("nano", dict([parse_change(f"optimizer.lr={value}")]))


def test_options_must_be_a_mapping():
    with pytest.raises(RecipeError, match=r"data\.options: 3 is not a mapping"):
        read_recipe("nano", {"data.options": 3})


def test_our_own_files_read_as_by_plain_yaml():
    """Nothing of ours needs more than YAML without templates."""
    from esc_plugin.train.recipe import FOLDER

    for path in FOLDER.glob("*.yaml"):
        assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))
