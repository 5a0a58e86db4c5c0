"""What people read of a model before they choose it, and which models are shown for their kind of images."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import esc_plugin
from esc_plugin import EscError, Model, list_models, load_model
from esc_plugin.catalog.by_purpose import is_here, models_for, none_text, start_for
from esc_plugin.catalog.cards import LONGEST, card_lines
from esc_plugin.catalog.menu import find_model
from esc_plugin.catalog.purposes import KEYS, MICROSCOPY, PURPOSES, akin, find_purpose
from esc_plugin.network import ESC
from esc_plugin.train.wish import Wish

from .commands import inside_the_test
from .confined import run_confined
from .small import small_config

ROOT = Path(esc_plugin.__file__).parents[1]
GAIN = {"purpose": "microscopy", "count": 7, "images": "held-out images", "reduction": "binned", "db": 6.61}
TUNED = {
    "purpose": "microscopy",
    "license": "MIT",
    "detail": "takes noise away",
    "training": "565 iterations",
    "gains": [GAIN],
}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ESC_MODELS_DIR", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def offer(folder, *entries):
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"models": list(entries)}))


def save(place, name, card):
    config = small_config()
    torch.manual_seed(0)
    return Model(ESC(config).eval(), config, name, "nowhere", "", card).save_pretrained(place)


def claim(path, metadata):
    """Write a safetensors file that holds nothing but what it says about itself."""
    header = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


# ------------------------------------------------------------------ kinds of images


def test_each_kind_of_images_has_a_name_for_people():
    assert len({purpose.key for purpose in PURPOSES}) == len({purpose.title for purpose in PURPOSES}) == len(PURPOSES)
    assert {"clean photo", "real photo", "microscopy"} <= set(KEYS)  # which manifests and files have since the first version
    assert MICROSCOPY not in {purpose.key for purpose in PURPOSES}
    assert find_purpose(MICROSCOPY).images == "microscopy images"


def test_any_microscopy_is_akin_to_each_kind_of_it():
    assert akin("microscopy", "fluorescence")
    assert akin("electron microscopy", "microscopy")
    assert akin("clean photo", "clean photo")
    for other in (("fluorescence", "brightfield"), ("clean photo", "real photo"), ("", ""), ("", "drawing"), ("cats", "")):
        assert not akin(*other)


def test_the_bundled_models_come_first_then_those_on_this_machine(folder):
    (folder / "here.pth").write_bytes(b"x")
    (folder / "ESC_FP_X2.pth").write_bytes(b"x")
    mine = {"scale": 2, "purpose": "clean photo"}
    offer(folder, mine | {"name": "here", "path": "here.pth"}, mine | {"name": "gone", "path": "gone.pth"})
    found = [entry.name for entry in models_for("clean photo")]
    assert found[:2] == ["esc-nano-x2", "esc-nano-x4"]
    assert set(found[2:4]) == {"esc-fp-x2", "here"}
    assert found[4] == "esc-x2"
    assert "gone" in found[5:]


def test_what_is_not_made_for_a_kind_is_not_listed_for_it(folder):
    (folder / "loose.pth").write_bytes(b"x")
    mine = {"scale": 2, "path": "a.pth"}
    offer(folder, mine | {"name": "any", "purpose": "microscopy"}, mine | {"name": "glow", "purpose": "fluorescence"})
    for purpose, names in {"fluorescence": {"any", "glow"}, "brightfield": {"any"}, "microscopy": {"any", "glow"}}.items():
        assert {entry.name for entry in models_for(purpose) if not entry.bundled} == names
    for purpose in PURPOSES:
        assert all(akin(entry.purpose, purpose.key) for entry in models_for(purpose.key))
    assert sorted(entry.name for entry in models_for()) == sorted(entry.name for entry in list_models())


def test_where_no_model_is_it_is_said_with_what_was_measured(folder, monkeypatch):
    others = [entry for entry in list_models() if entry.purpose != "fluorescence"]
    monkeypatch.setattr("esc_plugin.catalog.by_purpose.list_models", lambda: others)
    text = none_text("fluorescence")
    assert text.startswith(
        "No model here has learned from fluorescence images. Against bicubic, esc-nano-x2 (for clean photos)"
    )
    measured = [gain for gain in find_model("esc-nano-x2").gains if gain.purpose == "fluorescence"]
    assert measured
    for gain in measured:
        assert (f"{gain.db:+.2f} dB ({gain.reduction})" in text) or gain.on != measured[0].on
    assert text.endswith(f"on {measured[0].on}. Fine-tune one on your own images.")
    assert "None was measured on them either. Fine-tune" in none_text("electron microscopy")
    assert none_text("clean photo") == none_text("real photo") == ""
    monkeypatch.undo()
    offer(folder, {"name": "mine", "scale": 2, "purpose": "microscopy", "path": "a.pth"})
    assert none_text("fluorescence") == ""


# ------------------------------------------------------------------ three lines


def test_every_model_on_offer_has_three_short_lines():
    for entry in list_models():
        for line in card_lines(entry):
            assert 0 < len(line) <= LONGEST
            assert line.endswith("."), line
            assert "iterations" not in line
        use, licence, gain = card_lines(entry)
        assert use.startswith(f"For {find_purpose(entry.purpose).images}: ")
        assert licence.startswith("MIT; ")
        assert "Measured against bicubic: +" in gain if entry.bundled else "not measured here" in gain


def test_the_lines_of_a_bundled_model_and_of_a_download():
    use, licence, gain = card_lines(entry := find_model("esc-nano-x2"))
    assert use == "For clean photos: small and quick; sharper edges, no invented texture, noise gets sharper too."
    assert licence == "MIT; comes with this package."
    gains = {name: entry.figures[name] - entry.figures[f"{name} bicubic"] for name in ("Set5", "Set14")}
    assert gain.startswith(f"Measured against bicubic: {gains['Set5']:+.2f} dB on Set5, {gains['Set14']:+.2f} dB on Set14")
    assert card_lines(find_model("esc-x2"))[1:] == (
        "MIT; from github.com. Of the authors' repository; the weight files carry none of their own.",
        "Gain over bicubic not measured here; stated: 38.35 dB on Set5.",
    )
    assert "invent texture" in card_lines(find_model("esc-real-x4-gan"))[0]


def test_a_loaded_model_has_the_lines_of_its_entry():
    use, licence, gain = card_lines(load_model("esc-nano-x2").card)
    assert (use, gain) == card_lines(find_model("esc-nano-x2"))[::2]
    assert licence == "MIT."


def test_the_lines_of_a_card_that_says_nothing():
    assert card_lines({}) == (
        "A model; nothing says what it is for.",
        "Licence not stated.",
        "Gain over bicubic not measured here.",
    )


@pytest.mark.parametrize(
    "gains",
    [3, "text", [3], [None], [{}], [GAIN | {"db": "inf"}], [GAIN | {"db": True}], [GAIN | {"count": -1}], [GAIN | {"x": 1}]],
)
def test_gains_that_are_none_are_not_shown(gains):
    assert card_lines({"gains": gains})[2] == "Gain over bicubic not measured here."
    assert (
        "+6.61 dB on 7 held-out images (binned)" in card_lines({"gains": [*(gains if type(gains) is list else []), GAIN]})[2]
    )


def test_of_many_gains_those_are_shown_that_fit():
    gains = [
        GAIN | {"images": f"cells of the {day}", "reduction": "binned, 100 photons"} for day in ("first day", "next", "last")
    ]
    assert card_lines({"gains": gains})[2] == (
        "Measured against bicubic: +6.61 dB on 7 cells of the first day (binned, 100 photons)."
    )
    assert card_lines({"gains": [gains[0] | {"images": "x" * 200}]})[2].endswith("x…")


def test_of_gains_on_the_same_images_the_best_and_the_worst_are_told():
    gains = [GAIN, GAIN | {"reduction": "binned, 9 photons", "db": -0.5}, GAIN | {"reduction": "blurred", "db": 1.0}]
    assert card_lines({"gains": gains})[2] == (
        "Measured against bicubic: +6.61 (binned) to -0.50 dB (binned, 9 photons) on 7 held-out images."
    )


def test_long_and_unprintable_texts_stay_lines():
    hostile = {"purpose": "x" * 500, "license": "a\nb\x1b[2J\u202e", "license_note": "y" * 500}
    for line in card_lines(hostile):
        assert len(line) <= LONGEST
        assert line.isprintable()
    assert card_lines(hostile)[1].startswith(r"a b\x1b[2J\u202e. yyy")


# ------------------------------------------------------------------ a user's own files


@pytest.mark.parametrize("inner", [False, True], ids=["file", "folder"])
def test_a_fine_tuned_model_tells_what_it_is_for_and_what_it_gained(inner, folder):
    save(folder / "cells-x2" if inner else folder, "cells-x2", TUNED)
    entry = find_model("cells-x2")
    assert (entry.scale, entry.purpose, entry.license) == (2, "microscopy", "MIT")
    assert card_lines(entry) == (
        "For microscopy images: takes noise away.",
        "MIT; a file of yours.",
        "Measured against bicubic: +6.61 dB on 7 held-out images (binned).",
    )
    assert models_for("electron microscopy") == [entry]
    assert none_text("electron microscopy") == ""
    card = load_model("cells-x2").card
    assert card["gains"] == TUNED["gains"]
    assert card["training"] == "565 iterations"


def test_gains_survive_saving_and_converting(tmp_path, monkeypatch, capsys):
    path = save(tmp_path / "one", "cells", TUNED)
    again = replace(load_model(path), name="again").save_pretrained(tmp_path / "two")
    inside_the_test(monkeypatch, capsys)("convert", again, tmp_path / "three.safetensors")
    assert load_model(tmp_path / "three.safetensors").card["gains"] == [GAIN]


def test_a_file_is_read_again_when_it_changed(folder):
    claim(folder / "mine.safetensors", {"purpose": "fluorescence"})
    assert find_model("mine").purpose == "fluorescence"
    claim(folder / "mine.safetensors", {"purpose": "brightfield", "family": "longer"})
    assert find_model("mine").purpose == "brightfield"


@pytest.mark.parametrize(
    "metadata",
    [
        {"purpose": "cats"},
        {"purpose": ["microscopy"], "license": {}, "gains": 3, "esc_config": 7},
        {"purpose": "a\nb", "license": "\x1b[2J", "gains": "[" * 1999, "esc_config": "[" * 100_000},
        {"gains": json.dumps([GAIN | {"purpose": "cats"}]), "esc_config": '{"scale": 99}'},
        {"gains": json.dumps([GAIN | {"images": "z\n"}]), "esc_config": '{"scale": true}'},
        [],
        "text",
        None,
    ],
)
def test_what_a_file_claims_is_believed_only_if_it_can_be(metadata, folder):
    claim(folder / "odd.safetensors", metadata)
    entry = find_model("odd")
    assert (entry.scale, entry.purpose, entry.license, entry.gains) == (0, "", "", ())


def test_damaged_and_huge_headers_cost_nothing(folder):
    (folder / "short.safetensors").write_bytes(b"\1")
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "text.safetensors").write_bytes((4).to_bytes(8, "little") + b"\xff\xfe{}")
    deep = b"[" * 2_000_000
    (folder / "deep.safetensors").write_bytes(len(deep).to_bytes(8, "little") + deep)
    with (folder / "huge.safetensors").open("wb") as file:
        file.write((2**30).to_bytes(8, "little") + b"{")
        file.truncate(2**31)  # a hole, which takes no room
    program = "from esc_plugin import list_models; print(sum(entry.path != '' for entry in list_models()))"
    assert run_confined(program, memory=2**29, seconds=20).strip() == "5"


def test_folders_that_are_no_models(folder):
    for name in (".hidden", "two", "bare"):
        (folder / name).mkdir()
        claim(folder / name / "a.safetensors", {})
    claim(folder / "two/b.safetensors", {})
    for name in (".hidden", "two"):
        (folder / name / "config.json").write_text("{}")
    assert not {".hidden", "two", "bare", "a", "b"} & {entry.name for entry in list_models()}


def test_listing_and_cards_need_no_torch(folder):
    save(folder, "cells-x2", TUNED)
    program = """
import sys
from esc_plugin.catalog.by_purpose import models_for, none_text
from esc_plugin.catalog.cards import card_lines
lines = [card_lines(entry) for entry in models_for()]
none_text("electron microscopy"), models_for("fluorescence")
assert any("+6.61 dB" in gain for _, _, gain in lines)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("purpose", KEYS)
def test_a_fine_tuning_starts_from_a_model_that_is_here_and_made_for_the_images(purpose: str) -> None:
    start = start_for(purpose)
    assert is_here(start)
    assert start.scale == 2
    made = [entry for entry in models_for(purpose) if is_here(entry) and entry.scale == 2]
    if made:
        assert start == made[0]
    elif akin(purpose, MICROSCOPY):
        assert start.purpose == "real photo"  # which has seen noise
    with pytest.raises(EscError, match="there is no model for 7 times"):
        start_for(purpose, 7)


# ------------------------------------------------------------------ commands


def test_the_command_shows_models_for_a_kind_and_one_whole(folder, monkeypatch, capsys):
    esc = inside_the_test(monkeypatch, capsys)
    assert "No model here has learned from electron micrographs." in esc("models", "--for", "electron microscopy")
    save(folder, "cells-x2", TUNED)
    shown = esc("models", "--for", "electron microscopy")
    assert "+6.61 dB on 7 held-out images" in shown
    assert "565 iterations" not in shown
    assert "esc-nano" not in shown
    assert "565 iterations" in esc("models", "cells-x2")
    (row,) = json.loads(esc("models", "--for", "electron microscopy", "--json"))
    assert (row["name"], row["file"], row["gains"]) == ("cells-x2", "here", [GAIN])
    assert "must be one of clean photo," in esc("models", "--for", "cats", code=1)
    assert "there is no model 'none'" in esc("models", "none", code=1)


def test_a_fine_tuning_says_for_which_kind_it_is():
    assert Wish("esc-nano-x2", purpose="fluorescence").purpose == "fluorescence"
    with pytest.raises(EscError, match=r"the purpose must be one of clean photo, .*, not 'cats'"):
        Wish("esc-nano-x2", purpose="cats")


def test_the_manifest_of_the_guide(folder):
    """The one in docs/models.md is whole, but for a hash that it can't know."""
    guide = (ROOT / "docs/models.md").read_text(encoding="utf-8").partition("### Models of your own")[2]
    (entry,) = yaml.safe_load(guide.partition("```yaml")[2].partition("```")[0])["models"]
    offer(folder, entry | {"sha256": "0" * 64})
    assert card_lines(find_model(entry["name"])) == (
        "For fluorescence images: takes noise away.",
        "CC-BY-4.0; a file of yours. As the images it was trained on.",
        "Measured against bicubic: +2.90 dB on nuclei, +2.90 dB on 40 images of nuclei (binned 2 x 2).",
    )
