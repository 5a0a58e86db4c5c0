"""What a user expects of any command line: versions, completion, lists that fit, and answers about whatever is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from PIL import Image

from esc_plugin import __version__, cli
from esc_plugin.catalog.fetch import fetch
from esc_plugin.catalog.manifest import CatalogEntry
from esc_plugin.catalog.purposes import PURPOSES, purpose_named
from esc_plugin.cli import completion
from esc_plugin.device import choose_device
from esc_plugin.disk import without_home
from esc_plugin.errors import EscError, HubError

from .commands import ROOT, inside_the_test, run_commands
from .test_hub import point_to

COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


@pytest.fixture
def esc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs ``esc-sr`` and returns what it said."""
    monkeypatch.chdir(tmp_path)
    return inside_the_test(monkeypatch, capsys)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)).save(path)
    return path


def test_the_version_and_reports_need_no_torch(photo: Path) -> None:
    version, models, image, report = run_commands(
        ["--version"], ["models"], ["info", photo], ["doctor", "--json"], missing=["torch"]
    )
    assert version == (0, f"esc-sr {__version__}\n")
    assert models[0] == image[0] == report[0] == 0
    assert "none: " in json.loads(report[1])["device"]  # which is what the report would be about


def test_a_report_names_no_user(esc: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "jane.doe"
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("ESC_MODELS_DIR", str(home / "models"))
    said = esc("doctor")
    assert str(Path("~/models")) in said
    assert "jane.doe" not in said
    assert without_home(Path("/elsewhere")) == str(Path("/elsewhere"))
    assert {"torch", "av", "lightning"} <= set(json.loads(esc("doctor", "--json"))["packages"])


@pytest.mark.skipif(os.name == "nt", reason="Windows knows where a user's folders are")
def test_a_user_without_a_home(esc: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Containers run as numbers that no list of users has."""
    import pwd

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "ESC_MODELS_DIR", "ESC_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert "esc-nano-x2" in esc("models")
    assert "/dev/null/esc-plugin" in esc("doctor")
    Image.new("RGB", (24, 16)).save("a.png")
    esc("upscale", "a.png", "-o", "b.png", "--model", "esc-nano-x2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    entry = CatalogEntry("mine", 2, "", file="x.pth", url="http://127.0.0.1:9/x.pth")
    with pytest.raises(HubError, match=r"can't write into .*ESC_MODELS_DIR"):
        fetch(entry)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("esc-sr upscale -m esc-nano-x", ["esc-nano-x2", "esc-nano-x4"]),
        ("esc-sr info esc-lt-x3", ["esc-lt-x3"]),
        ("esc-sr upscale --precision b", ["bfloat16"]),
        ("esc-sr upscale --for f", ["fluorescence"]),
        ("esc-sr upscale --format ti", ["tif", "tiff"]),
        ("esc-sr upscale --fit 4", ["4K"]),
        ("esc-sr train cl", ["classic"]),
        ("esc-sr evaluate --gp", ["--gpu"]),
        ("esc-sr mod", ["models"]),
    ],
)
def test_a_shell_completes(words: str, offered: list[str], esc: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ESC_SR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert esc().split() == offered


def test_completion_loads_no_torch() -> None:
    code = (
        "import sys; from esc_plugin.cli import completion, program\n"
        "for offer in (completion.model_names, completion.purposes, completion.boxes, completion.image_formats,\n"
        "              completion.recipes): assert offer('')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_what_is_offered_is_understood() -> None:
    assert {purpose_named(word) for word in completion.purposes("")} == {purpose.key for purpose in PURPOSES}


def test_the_list_of_models_fits_into_80_columns_and_cuts_nothing(
    esc: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to("http://127.0.0.1:9", monkeypatch, tmp_path)
    (tmp_path / "models").mkdir()
    wide = esc("models")
    monkeypatch.setenv("COLUMNS", "40")
    narrow = esc("models")
    assert narrow == wide  # a file and a pipe have no width
    rows = wide.split("\n\n")[0].splitlines()
    assert max(map(len, rows)) <= 80
    listed = {row.split()[0] for row in rows[1:]}
    assert listed == {row["name"] for row in json.loads(esc("models", "--json"))}
    assert any(row.endswith("clean photo   download, 8 MB") for row in rows)
    assert "─" not in wide


def test_an_unknown_model_of_the_list_is_one_that_is_alike(esc: Callable[..., str]) -> None:
    assert "did you mean esc-nano-x" in esc("models", "esc-nano-x3", code=1)


def test_a_picture_is_a_picture(esc: Callable[..., str], photo: Path) -> None:
    said = esc("info", photo)
    for line in (
        "kind     image",
        "format   PNG",
        "size     10 x 12 pixels",
        "values   8 bits (uint8), RGB",
        "profile  none",
    ):
        assert line in said
    assert "esc-nano-real-x2, since all other images count as" in said
    esc("upscale", photo)
    facts = json.loads(esc("info", "a_x2.png", "--json"))
    assert (facts["kind"], facts["size"], facts["made_by"]["image"]) == ("image", [24, 20], "a.png")


def test_a_stack_says_its_axes_and_the_size_of_its_pixels(esc: Callable[..., str], tmp_path: Path) -> None:
    stack, metadata = np.zeros((3, 2, 8, 9), np.uint16), {"axes": "ZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(tmp_path / "s.ome.tif", stack, metadata=metadata | {"Channel": {"Name": ["DAPI", "GFP"]}})
    said = esc("info", "s.ome.tif")
    for part in ("16 bits (uint16), gray", "axes ZCYX, shape 3 x 2 x 8 x 9", "DAPI, GFP", "x 0.5 µm", "fluorescence"):
        assert part in said


def test_whatever_is_named_has_one_answer(esc: Callable[..., str], photo: Path, tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text("defaults:\n- {purpose: drawing}\n")
    (tmp_path / "recipe.yaml").write_text("scale: 2\nbest: true\n")
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "deep").mkdir()
    esc("survey", photo, "-o", "s.json")
    assert "images  1" in esc("info", tmp_path)
    assert json.loads(esc("info", "models.yaml", "--json"))["kind"] == "manifest"
    assert json.loads(esc("info", "s.json", "--json"))["size"] == [24, 20]
    for name, message in {
        "recipe.yaml": "best",
        "notes.txt": "is nothing that is used here",
        "other.json": "survey",
        "deep": "holds no model and no images",
        "none.png": "there is no file or folder 'none.png'",
        "none.mp4": "there is no file or folder 'none.mp4'",
        "esc-nano-x3": "did you mean",
    }.items():
        said = esc("info", name, code=1)
        assert message in said
        assert len(said.splitlines()) == 1


def test_short_names_of_devices(esc: Callable[..., str], photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    esc("upscale", photo, "--cpu")
    said = esc("upscale", photo, "-o", "b.png", "--gpu", "--cpu", code=1)
    assert "ask for one device, not for --gpu and --cpu" in said
    assert "--device cuda and --cpu" in esc("upscale", photo, "-o", "b.png", "--device", "cuda", "--cpu", code=1)
    for found in ("torch.cuda.is_available", "torch.backends.mps.is_available"):
        monkeypatch.setattr(found, lambda: False)
    assert "finds no GPU on this machine" in esc("upscale", photo, "-o", "b.png", "--gpu", code=1)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(EscError, match="finds no GPU"):
        choose_device("gpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device("gpu").type == "cuda"


def test_every_command_with_a_device_has_its_short_names() -> None:
    for name, command in COMMANDS.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--device" in options) == ("--gpu" in options) == ("--cpu" in options), name


def test_an_option_means_the_same_in_every_command() -> None:
    """A short name stands for one long name."""
    long_names: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            for short in (option for option in parameter.opts if len(option) == 2):
                long_names.setdefault(short, set()).add(max(parameter.opts, key=len))
    assert long_names == {
        "-m": {"--model"},
        "-o": {"--output"},
        "-q": {"--quiet"},
        "-r": {"--recursive"},
        "-s": {"--scale"},
        "-v": {"--verbose"},
    }


def test_quiet_says_nothing_but_errors(esc: Callable[..., str], photo: Path) -> None:
    assert esc("upscale", photo, "-q") == ""
    assert esc("upscale", photo, "-q", code=1).startswith("error: ")
    assert "a_x2.png" in esc("upscale", photo, "--overwrite")  # the next command is not


def test_a_report_shows_a_name_as_it_is_printed(esc: Callable[..., str], photo: Path) -> None:
    pytest.importorskip("matplotlib")
    photo.rename(odd := photo.with_name("a\u202egpj.png"))
    esc("inspect", "esc-nano-x2", odd, "--steps", 1, "--crop", 8, "-o", "i.html")
    page = Path("i.html").read_text(encoding="utf-8")
    assert "\u202e" not in page
    assert "a\\u202egpj.png" in page
