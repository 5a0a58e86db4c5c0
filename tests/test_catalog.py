"""The models on offer: our manifest, and the user's."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import esc_plugin
from esc_plugin.catalog.load import load_model
from esc_plugin.catalog.lookup import look_up
from esc_plugin.catalog.menu import bundled_path, find_model, list_models, models_folder
from esc_plugin.catalog.purposes import KEYS
from esc_plugin.catalog.record import RECORD, read_record
from esc_plugin.catalog.verify import verify
from esc_plugin.disk import file_sha256
from esc_plugin.errors import CheckpointError, EscError, HubError

ROOT = Path(esc_plugin.__file__).parents[1]


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ESC_MODELS_DIR", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def offer(folder, *entries):
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"models": list(entries)}))


GAIN = {"purpose": "fluorescence", "count": 3, "images": "images of cells", "reduction": "binned 2 x 2", "db": 0.5}
MINE = {"name": "mine", "scale": 2, "purpose": "microscopy", "path": "deep/mine.safetensors"}

#: Names of released files that other public projects use.
USED_BY_OTHERS = [f"ESC_{name}" for name in ("DIV2K_X2", "DIV2K_X3", "DIV2K_X4", "light_X2", "light_X4", "DFLIP_X3")]

# ------------------------------------------------------------------ ours


def test_every_released_file_is_on_offer():
    stems = [f"ESC_{kind}_X{scale}" for kind in ("DIV2K", "DFLIP", "light", "FP") for scale in (2, 3, 4)]
    stems += [f"ESC_XL_DF2K_X{stage}" for stage in ("2_PT", "2_FT", "3_FT", "4_FT")]
    stems += ["ESC_FB_R48_DIV2K_X2", "ESC_Real_FB_R48_GAN_X4", "ESC_Real_X4_GAN", "ESC_Real_X4_MSE"]
    stems += [f"ESCRIB_DFLIP_X{scale}" for scale in (2, 3, 4)]
    for stem in stems:
        entry = find_model(stem)
        assert entry is not None, stem
        assert entry.url == f"https://github.com/dslisleedh/ESC/releases/download/1.0.0/{stem}.pth"
        assert f"X{entry.scale}" in stem
        assert bool(entry.sha256) == stem.startswith("ESC_Real_X4")
        assert entry.confirmed == (bool(entry.sha256) or stem in USED_BY_OTHERS)
        assert entry.license == "MIT"
        assert "none of their own" in entry.license_note
        assert find_model(f"{stem}.pth") is entry


def test_each_entry_says_what_a_user_needs():
    for entry in list_models():
        assert re.fullmatch(r"[a-z0-9-]+", entry.name)
        assert entry.summary.endswith(".")
        assert entry.purpose in KEYS
        assert entry.family
        assert entry.license
        assert entry.training or not entry.confirmed, entry.name
        assert all(20 < value < 45 for value in entry.figures.values())
        assert all(0.5 < value < 1 for value in entry.ssim.values())
        assert entry.card["purpose"] == entry.purpose
    assert find_model("esc-x2").figures["Urban100"] == 33.46
    assert find_model("esc-x2").ssim["Urban100"] == 0.9395
    assert find_model("esc-dflip-x3").ssim["Manga109"] == 0.9525
    assert find_model("esc-rib-x4").figures["Set14"] == 29.06


def test_real_models_are_filed_as_such():
    filed = {entry.name: entry.purpose for entry in list_models() if "dslisleedh" in entry.url}
    assert filed == {name: "real photo" if "-real-" in name else "clean photo" for name in filed}
    assert sum("-real-" in name for name in filed) == 3


def test_bundled_files_are_what_the_manifest_says():
    bundled = [entry for entry in list_models() if entry.bundled]
    assert {"esc-nano-x2", "esc-nano-x4"} <= {entry.name for entry in bundled}
    for entry in bundled:
        assert file_sha256(bundled_path(entry)) == entry.sha256
        model = load_model(entry.name, offline=True)
        assert (model.scale, model.name, model.card["license"]) == (entry.scale, entry.name, entry.license)


def test_the_catalogue_needs_no_torch():
    program = "import sys; import esc_plugin; esc_plugin.list_models(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_names_are_found_however_they_are_written():
    assert find_model("ESC-Real-X4-GAN").name == "esc-real-x4-gan"
    assert find_model("esc_real_x4_gan.pth").name == "esc-real-x4-gan"
    assert find_model("some/ESC_Real_X4_GAN.pth") is None
    assert find_model("esc-real") is None
    with pytest.raises(HubError, match="did you mean esc-real-x4"):
        load_model("esc-real-x4")


def test_an_empty_name_is_no_model(tmp_path, monkeypatch):
    """The bundled entries name no file for a download, which is not to be taken for their name."""
    assert find_model("") is None
    monkeypatch.chdir(tmp_path)  # which an empty path would mean
    (tmp_path / "mine.safetensors").write_bytes(bundled_path(find_model("esc-nano-x2")).read_bytes())
    for ask in (load_model, look_up):
        with pytest.raises(HubError, match="a model must be a name"):
            ask("")


def test_a_name_means_the_same_before_and_while_it_is_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ESC-NANO-X2").mkdir()
    assert look_up("esc-nano-x2").name == load_model("esc-nano-x2").name == "esc-nano-x2"
    with pytest.raises(HubError, match="has no weights file"):
        load_model("ESC-NANO-X2")  # a folder of that name comes before an entry that is only like it
    assert look_up("ESC-NANO-X2").name == ""
    for ask in (load_model, look_up):
        with pytest.raises(CheckpointError, match=r"there is no weights file 'none\.pth'"):
            ask("none.pth")


# ------------------------------------------------------------------ the user's


def test_the_models_folder_is_chosen_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ESC_MODELS_DIR", "~/x")
    assert models_folder() == Path.home() / "x"
    monkeypatch.delenv("ESC_MODELS_DIR")
    assert models_folder().parts[-2:] == ("esc-plugin", "models")


def test_an_entry_of_the_users(folder):
    offer(folder, MINE | {"figures": {"own": "30.1/.85"}, "license": "CC0-1.0"})
    entry = find_model("mine")
    assert entry.path == str(folder / "deep/mine.safetensors")
    assert (entry.figures, entry.ssim) == ({"own": 30.1}, {"own": 0.85})
    with pytest.raises(HubError, match=r"'mine'.*mine\.safetensors', is not there; correct the manifest"):
        load_model("mine")
    (folder / "deep").mkdir()
    (folder / "deep/mine.safetensors").write_bytes(bundled_path(find_model("esc-nano-x2")).read_bytes())
    model = load_model("mine")
    assert (model.name, model.card["license"], model.card["purpose"]) == ("mine", "CC0-1.0", "microscopy")


def test_an_entry_of_the_users_replaces_ours(folder):
    offer(folder, MINE | {"name": "esc-x2"})
    assert find_model("esc-x2").purpose == "microscopy"
    assert len([entry for entry in list_models() if entry.name == "esc-x2"]) == 1


def test_a_changed_manifest_is_read_again(folder):
    offer(folder, MINE)
    assert find_model("mine").scale == 2
    offer(folder, MINE | {"scale": 3, "summary": "longer"})
    assert find_model("mine").scale == 3
    (folder / "manifest.yaml").unlink()
    assert find_model("mine") is None


def test_the_entry_of_the_guide(folder):
    """The one in CONTRIBUTING.md is whole, but for a hash that it can't know."""
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("### A model")[2]
    (entry,) = yaml.safe_load(guide.partition("```yaml")[2].partition("```")[0])
    offer(folder, entry | {"sha256": "0" * 64})
    found = find_model(entry["name"])
    assert (found.scale, found.source) == (entry["scale"], "hub")
    assert found.figures["nuclei"] > found.figures["nuclei bicubic"]


@pytest.mark.parametrize(
    ("change", "field", "part"),
    [
        ({"scale": 0}, "scale", "0 is not a whole number from 1 to 16"),
        ({"scale": 2.0}, "scale", "2.0 is not a whole number"),
        ({"scale": True}, "scale", "True"),
        ({"scale": None}, "scale", "None"),
        ({"purpose": "cats"}, "purpose", "'cats' is not one of clean photo, real photo, drawing, fluorescence"),
        ({"name": ""}, "name", "'' is no name"),
        ({"summary": 3}, "summary", "3 is not text (put it in quotes)"),
        ({"summary": "a\nb"}, "summary", "not one line"),
        ({"colour": "red"}, "colour", "unknown; known are name, scale"),
        ({"sha256": "ABC"}, "sha256", "64 hexadecimal digits"),
        ({"figures": 3}, "figures", "3 is not a mapping"),
        ({"figures": {"Set5": "good"}}, "figures", "'good' for Set5 is not PSNR or PSNR/SSIM"),
        ({"gains": 3}, "gains[0]", "3 is no mapping"),
        ({"gains": [GAIN | {"db": "much"}]}, "gains[0].db", "'much' is not a number"),
        ({"gains": [GAIN, GAIN | {"db": 1e9}]}, "gains[1].db", "1000000000.0 is not between -99 and 99 dB"),
        ({"gains": [GAIN | {"count": 0}]}, "gains[0].count", "0 is no number of images"),
        ({"gains": [GAIN | {"images": " "}]}, "gains[0].images", "' ' says nothing"),
        ({"gains": [GAIN | {"purpose": "cats"}]}, "gains[0].purpose", "'cats' is not one of"),
        ({"gains": [{"db": 1.0}]}, "gains[0].purpose", "missing"),
        ({"confirmed": "yes"}, "confirmed", "'yes' is not true or false"),
        ({"url": "https://x.org/a.pth"}, "bundled | hub | url | path", "exactly one of them must be there, not url, path"),
        ({"path": ""}, "bundled | hub | url | path", "none"),
        ({"path": "", "url": "http://x.org/a.pth"}, "url", "no valid address that begins with https://"),
        ({"path": "", "url": "https://[::1"}, "url", "'https://[::1' is no valid address"),
        ({"path": "", "url": "https://x.org:port/a.pth"}, "url", "no valid address"),
        ({"path": "", "url": "https:///a.pth"}, "url", "no valid address"),
        ({"path": "~nobody-here/a.pth"}, "path", "home directory"),
        ({"summary": "\x1b[2J"}, "summary", "not one line of text"),
        ({"figures": {"Set5": "nan"}}, "figures", "'nan' for Set5"),
        ({"path": "", "url": "file:///etc/passwd"}, "url", "no valid address that begins with https://"),
        ({"path": "", "url": "https://x.org/"}, "file", "must name the weights file"),
        ({"path": "", "url": "https://x.org/a.exe"}, "file", "'a.exe' must name the weights file"),
        ({"path": "", "url": "https://x.org/a", "file": "../a.pth"}, "file", "without folders"),
        ({"path": "", "hub": "org"}, "hub", "'org' is not of the form org/repo"),
        ({"path": "", "hub": "org/repo"}, "file", "must name the weights file"),
    ],
)
def test_errors_name_the_entry_and_the_field(folder, change, field, part):
    offer(folder, MINE | {"name": "fine"}, MINE | change)
    with pytest.raises(EscError) as info:
        list_models()
    text = str(info.value)
    assert str(folder / "manifest.yaml") in text
    assert f"field {field!r}" in text
    assert part in text
    assert "\n" not in text
    if change.get("name") != "":
        assert "'mine'" in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("models: [", "no YAML in line"),
        ("models: !!python/object/apply:os.system [ls]", "no YAML"),
        (
            "a: &a {scale: 2}\nb: &b {scale: 3}\nmodels:\n- <<: [*a, *b]\n",
            "in line 4: templates define the same key 'scale'",
        ),
        ("", "a list `models`"),
        ("[]", "a list `models`"),
        ("models: {}", "a list `models`"),
        ("models: [3]", "entry 1 is 3"),
        (json.dumps({"models": [MINE, MINE]}), "two entries of that name"),
    ],
)
def test_a_manifest_that_is_none(folder, text, part):
    (folder / "manifest.yaml").write_text(text)
    with pytest.raises(EscError) as info:
        list_models()
    assert part in str(info.value)
    assert "\n" not in str(info.value)


# ------------------------------------------------------------------ files and their hashes


def test_verify(folder):
    content = bundled_path(find_model("esc-nano-x2")).read_bytes()
    (folder / "good.safetensors").write_bytes(content)
    (folder / "bad.safetensors").write_bytes(content[:-1] + b"x")
    (folder / "loose.safetensors").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    entries = [MINE | {"name": name, "path": f"{name}.safetensors", "sha256": digest} for name in ("good", "bad", "gone")]
    offer(folder, *entries)
    rows = {row["name"]: row for row in verify()}
    found = {name: rows[name]["status"] for name in ("esc-nano-x2", "good", "bad", "gone", "loose", "esc-x2")}
    assert found == {
        "esc-nano-x2": "ok",
        "good": "ok",
        "bad": "mismatch",
        "gone": "absent",
        "loose": "unknown",
        "esc-x2": "absent",
    }
    assert rows["bad"]["expected"] == digest != rows["bad"]["sha256"]
    assert rows["bad"]["remedy"]


@pytest.mark.parametrize("text", ["[", "[]", '{"a.pth": {"sha256": 3}}', '{"a.pth": {"sha256": "\\n"}}'])
def test_a_damaged_record_is_an_error_and_not_forgotten(folder, text):
    (folder / RECORD).write_text(text)
    (folder / "ESC_DIV2K_X2.pth").write_bytes(b"x")
    with pytest.raises(EscError, match=r"esc-downloads\.json.*delete it to forget"):
        load_model("esc-x2")


def test_records_written_at_the_same_time_are_all_kept(folder):
    program = (
        "import sys; from pathlib import Path; from esc_plugin.catalog.record import keep\nfolder = Path(sys.argv[1])\n"
    )
    program += "for i in range(10):\n made = folder / sys.argv[2]\n made.touch()\n keep(made, folder / f'{sys.argv[2]}{i}')"
    jobs = [subprocess.Popen([sys.executable, "-c", program, str(folder), name], cwd=ROOT) for name in "ab"]
    assert [job.wait() for job in jobs] == [0, 0]
    assert len(read_record(folder)) == 20
