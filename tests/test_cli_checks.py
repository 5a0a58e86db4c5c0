"""What the command line refuses before it begins, and what it tells while it works."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import GenericAlias
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image

from esc_plugin import cli
from esc_plugin.batch.checks import check_source
from esc_plugin.cli import study, train
from esc_plugin.cli.program import COMMANDS
from esc_plugin.export.onnx import OPSETS
from esc_plugin.inspection.report import SUFFIXES

from .commands import inside_the_test, run_commands
from .guide import module_of_the_guide
from .small import random_upscaler


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def esc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs ``esc-sr`` and returns what it said."""
    return inside_the_test(monkeypatch, capsys)


def test_what_is_known_without_torch_is_said_without_it(picture: Path, tmp_path: Path) -> None:
    made, text, folder = tmp_path / "a_x2.png", tmp_path / "text.png", tmp_path / "empty"
    made.write_bytes(picture.read_bytes())
    text.write_text("no image")
    folder.mkdir()
    cases = {
        ("upscale", "{none}"): "there is no file",
        ("upscale", "{text}"): "starts like none of",
        ("upscale", "{folder}"): "there are no images",
        ("upscale", "{image}"): "is there already|exists already",
        ("upscale", "{image}", "-s", "0"): "above 0",
        ("upscale", "{image}", "-o", "x.xyz"): "can't write 'x.xyz'",
        ("upscale", "{image}", "-o", "{text}/x.png"): "Not a directory|no folder",
        ("upscale", "{image}", "-o", "{stem}.{best}"): "known are folder",
        ("upscale", "{image}", "-m", "esc-nano-x3"): "did you mean",
        ("upscale", "{image}", "-m", "none.pth"): "there is no weights file",
        ("upscale", "{image}", "--device", "abacus"): "unknown device 'abacus'",
        ("upscale", "{image}", "--precision", "int3"): "--precision must be one of",
        ("upscale", "{image}", "--memory", "8"): "write 8GB",
        ("upscale", "{image}", "--quality", "0"): "--quality must be from 1 to 100",
        ("upscale", "{image}", "--max-megapixels", "nan"): "--max-megapixels",
        ("upscale", "{image}", "--consistency", "--format", "jpg"): "write png or tif",
        ("upscale", "{image}", "--skip-existing"): "exists, skipped",
        ("check", "{image}", "{none}"): "there is no file",
        ("compare", "{none}"): "there is no file",
        ("compare", "{image}", "-o", "x.xyz"): "must end in .png",
        ("compare", "{image}", "-o", "{image}"): "reads that file itself",
        ("compare", "{image}", "-o", "{made}"): "is there already",
        ("compare", "{image}", "-m", "esc-nano-x3"): "did you mean",
        ("upscale", "{image}", "--for", "cats"): "must be one of clean photo",
        ("upscale", "{image}", "--for", "clean", "-m", "esc-nano-x2"): "leave one of them out",
        ("evaluate", "esc-nano-x2", "{none}"): "there is no folder",
        ("evaluate", "esc-nano-x2", "{image}"): "is a file; name the folder",
        ("evaluate", "esc-nano-x2", "{folder}"): "there are no images",
        ("evaluate", "nothing", "{images}"): "did you mean",
        ("evaluate", "esc-nano-x2", "{images}", "-o", "x.xls"): ".csv or .json",
        ("info", "nothing"): "did you mean",
        ("models", "--download", "nothing"): "there is no model",
        ("convert", "none.pth", "x.safetensors"): "there is no weights file",
        ("convert", "{text}", "x.pth"): "must end in .safetensors",
        ("convert", "{text}", "{made}"): "must end in .safetensors",
        ("publish", "nothing", "me/mine"): "did you mean",
        ("export", "esc-nano-x2", "x.txt"): "must end in .onnx",
        ("export", "nothing", "x.onnx"): "did you mean",
        ("export", "esc-nano-x2", "x.onnx", "--opset", "99"): "--opset must be from 18 to 23",
        ("inspect", "esc-nano-x2", "{none}"): "there is no file",
        ("inspect", "esc-nano-x2", "{image}", "-o", "{image}"): "reads that file itself",
        ("inspect", "nothing", "{image}"): "did you mean",
        ("try", "nothing"): "did you mean",
        ("try", "--write", "{folder}/none/site"): "there is no folder",
        ("try", "--write", "{images}"): "which isn't the page's",
        ("train", "nothing"): "there is no recipe",
        ("train", "nano", "--data", "{none}"): "there is no file or folder",
        ("train", "nano", "--minutes", "nan"): "--minutes must be",
        ("finetune", "{none}"): "there is no file or folder",
        ("finetune", "{images}", "--init", "nothing"): "did you mean",
        ("finetune", "{images}", "--kind", "portrait"): "--kind must be one of",
    }
    places = {"none": tmp_path / "none.png", "text": text, "folder": folder, "image": picture, "made": made}
    places["images"] = tmp_path
    runs = [[next((str(p) for n, p in places.items() if a == f"{{{n}}}"), a) for a in case] for case in cases]
    runs = [[a.replace("{text}", str(text)).replace("{folder}", str(folder)) for a in run] for run in runs]
    before = sorted(tmp_path.iterdir())
    for run, wanted, (code, said) in zip(runs, cases.values(), run_commands(*runs, missing=["torch"]), strict=True):
        assert any(part in " ".join(said.split()) for part in wanted.split("|")), (run, said)
        assert code == (0 if "skipped" in wanted else 1), (run, said)
        assert len(said.splitlines()) == 1, (run, said)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_the_command_line_says_what_to_install(missing: str) -> None:
    ((code, said),) = run_commands(["models"], missing=[missing])
    assert "pip install typer rich" in f"{code}{said}"
    assert missing in f"{code}{said}"
    assert "Traceback" not in f"{code}{said}"


def test_what_is_checked_early_is_what_holds_later(picture: Path, tmp_path: Path) -> None:
    """The checks that need no torch must know what the modules with torch know."""
    assert (OPSETS[0], OPSETS[-1]) == study.OPSETS
    assert study.REPORTS == SUFFIXES
    if finetuning := pytest.importorskip("esc_plugin.train.finetune"):
        assert tuple(finetuning.KINDS) == tuple(train.KINDS)
    for form in ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "PPM", "TIFF"):
        path = tmp_path / f"as.{form}"
        Image.open(picture).save(path, form)
        check_source(path)


@pytest.mark.parametrize("name", ["x.h5", "x.jp2", "x.xyz", "results.v2"])
def test_an_output_that_can_not_be_written_is_no_folder(esc: Callable[..., str], picture: Path, name: str) -> None:
    said = esc("upscale", picture, "-o", picture.parent / name, code=1)
    assert ".png, .jpg" in said
    assert "a folder ends in a slash" in said
    assert [p.name for p in picture.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["plain", "results.v2/", "deep/er"])
def test_folders_are_made(esc: Callable[..., str], picture: Path, name: str) -> None:
    esc("upscale", picture, "-o", f"{picture.parent}/{name}")
    assert (picture.parent / name / "a_x2.png").is_file()


def test_a_folder_that_is_there_may_have_any_name(esc: Callable[..., str], picture: Path) -> None:
    (picture.parent / "x.v2").mkdir()
    esc("upscale", picture, "-o", picture.parent / "x.v2")
    assert (picture.parent / "x.v2" / "a_x2.png").is_file()


@pytest.mark.parametrize("form", ["jpg", "webp", "avif"])
def test_sums_are_not_kept_in_what_rounds(esc: Callable[..., str], picture: Path, form: str) -> None:
    said = esc("upscale", picture, "--consistency", "--format", form, code=1)
    assert "png or tif or zarr" in said
    assert [p.name for p in picture.parent.iterdir()] == ["a.png"]


def test_a_format_and_a_name_that_contradict(esc: Callable[..., str], picture: Path) -> None:
    assert "leave one of them out" in esc("upscale", picture, "--format", "jpg", "-o", picture.parent / "b.png", code=1)


@pytest.mark.parametrize("command", ["check"])
def test_pictures_of_other_proportions_are_not_compared(esc: Callable[..., str], picture: Path, command: str) -> None:
    other = picture.parent / "b.png"
    Image.new("RGB", (20, 30)).save(other)
    assert "10 x 12" in esc(command, picture, other, code=1)


def test_one_bad_file_is_told_first_and_stops_nothing(esc: Callable[..., str], picture: Path) -> None:
    (picture.parent / "bad.png").write_text("no image")
    said = esc("upscale", picture, picture.parent / "none.png", picture.parent / "bad.png", code=1)
    assert "1 upscaled, 0 skipped, 2 failed" in said
    assert (picture.parent / "a_x2.png").is_file()


def test_a_model_in_a_file_names_its_results_by_its_own_scale(esc: Callable[..., str], picture: Path) -> None:
    weights = random_upscaler(3).model.save_pretrained(picture.parent / "mine")
    esc("upscale", picture, "-m", weights)
    assert (picture.parent / "a_x3.png").is_file()
    esc("upscale", picture, "-m", weights, code=1)
    esc("upscale", picture, "-m", weights, "-o", f"{picture.parent}/{{stem}}-{{model}}.png")
    assert (picture.parent / f"a-{weights.stem}.png").is_file()


def test_verbose_says_how_it_was_made(esc: Callable[..., str], picture: Path) -> None:
    said = esc("upscale", picture, "-m", "esc-nano-x2", "-v", "--precision", "float32", "--device", "cpu")
    assert "model esc-nano-x2" in said
    assert "precision float32" in said
    assert "float32" not in esc("upscale", picture, "--overwrite")


@pytest.mark.parametrize(
    "arguments",
    [
        ["upscale", "{image}", "-m", "esc-nano-x2"],
        ["compare", "{image}"],
        ["evaluate", "esc-nano-x2", "{images}"],
        ["info", "esc-nano-x2"],
        ["export", "esc-nano-x2", "x.onnx"],
        ["inspect", "esc-nano-x2", "{image}"],
        ["convert", "{weights}", "x.safetensors"],
        ["publish", "{weights}", "me/mine", "--license", "mit", "--dry-run", "dry"],
    ],
)
def test_the_window_size_reaches_every_model(
    esc: Callable[..., str],
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    """A size that contradicts the parameters is refused, so it must have been looked at."""
    weights = random_upscaler().model.save_pretrained(picture.parent / "mine")
    monkeypatch.chdir(weights.parent)
    places = {"image": picture, "images": picture.parent, "weights": weights}
    said = esc(*(a.format(**places) for a in arguments), "--window-size", "7", code=1)
    assert "window" in said


def test_warnings_of_the_core_are_one_line(
    esc: Callable[..., str], picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from esc_plugin.catalog import load

    read = load.load_model

    def loaded(*given: object, **options: object) -> object:
        logging.getLogger("esc_plugin.catalog.load").warning("take\ncare of %s", "[x]")
        return read(*given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(load, "load_model", loaded)
    for _ in range(2):  # the second run must not say it twice
        assert esc("info", "esc-nano-x2").count("warning: take care of [x]\n") == 1


def test_what_goes_away_while_the_program_runs_is_no_fault_of_it(
    esc: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    monkeypatch.setattr("esc_plugin.catalog.load.load_model", lambda *_, **__: list(gone.iterdir()))
    monkeypatch.delenv("ESC_DEBUG", raising=False)
    assert esc("info", "esc-nano-x2", code=1) == f"error: can't use {str(gone)!r}: No such file or directory.\n"


def test_an_unexpected_error_is_one_line(esc: Callable[..., str], monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LookupError("a [b]\nc")

    monkeypatch.setattr("esc_plugin.catalog.load.load_model", fail)
    monkeypatch.delenv("ESC_DEBUG", raising=False)
    said = esc("info", "esc-nano-x2", code=70)
    assert said == "error: a fault of this program, LookupError: a [b] c (ESC_DEBUG=1 shows where)\n"
    monkeypatch.setenv("ESC_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["esc-sr", "info", "esc-nano-x2"])
    with pytest.raises(LookupError):
        cli.main()


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (MemoryError(), "ulimit -v"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"), "ulimit -v"),
        (ImportError("libav.so: failed to map segment from shared object"), "ulimit -v"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (ImportError("libav.so: cannot open shared object file: Too many open files"), "ulimit -n"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
    ],
)
def test_what_the_system_has_no_more_of_is_no_fault_of_the_program(
    esc: Callable[..., str], monkeypatch: pytest.MonkeyPatch, error: Exception, remedy: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LookupError("a library can't") from error

    monkeypatch.setattr("esc_plugin.catalog.load.load_model", fail)
    said = esc("info", "esc-nano-x2", code=1)
    assert said.startswith("error: ")
    assert remedy in said
    assert said.count("\n") == 1


def test_a_command_of_the_guide(
    esc: Callable[..., str], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in CONTRIBUTING.md: found under its name, with checks before work, and errors of one line."""
    program = module_of_the_guide("A command", "esc_plugin.cli.size", tmp_path, monkeypatch)
    monkeypatch.setattr(cli.app, "registered_commands", [*cli.app.registered_commands])
    cli.app.command()(program.size)
    assert "a.png  10 x 12" in esc("size", picture)
    said = esc("size", picture.parent / "none.png", code=1)
    assert said.startswith("error: there is no file")
    assert len(said.splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes only there")
def test_names_that_are_no_text(picture: Path) -> None:
    odd = picture.with_name("caf\udce9\x1b[31m.png")
    odd.write_bytes(picture.read_bytes())
    command = [sys.executable, "-m", "esc_plugin.cli", "upscale", str(odd)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout
    assert odd.with_name("caf\udce9\x1b[31m_x2.png").is_file()


def test_callbacks_ask_for_no_list_of_something() -> None:
    """On Python 3.10 typer takes ``list[str]`` for a class, and no command works."""
    asked = {}
    for command in COMMANDS:
        for hint in get_type_hints(command, include_extras=True).values():
            for option in getattr(hint, "__metadata__", ()):
                if callback := getattr(option, "callback", None):
                    hints = get_type_hints(callback)
                    hints.pop("return", None)
                    asked[callback] = [of for of in hints.values() if isinstance(of, GenericAlias)]
    assert asked
    assert not any(asked.values()), asked
