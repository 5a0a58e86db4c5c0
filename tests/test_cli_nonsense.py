"""Nonsense for every argument and option of every command: a result, or one line; never a traceback."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from esc_plugin import EscError, cli

from .commands import made_once
from .small import random_upscaler
from .systems import symlink
from .test_hub import point_to

COMMANDS: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
#: Valid arguments of each command; those in braces are paths.
VALID = {
    "upscale": ["{image}", "-o", "{out}/a.png", "--overwrite"],
    "survey": ["{image}", "-o", "{out}/a.json", "--overwrite"],
    "check": ["{image}", "{large}"],
    "compare": ["{image}", "-o", "{out}/a.png", "--overwrite"],
    "evaluate": ["esc-nano-x2", "{images}"],
    "models": [],
    "info": ["{weights}"],
    "convert": ["{weights}", "{out}/a.safetensors", "--force"],
    "publish": ["{weights}", "me/mine", "--license", "mit", "--dry-run", "{out}/dry"],
    "train": ["nano", "--data", "{images}", "-o", "{out}/mine"],
    "finetune": ["{images}", "-o", "{out}/mine"],
    "export": ["{weights}", "{out}/a.onnx", "--overwrite"],
    "inspect": ["{weights}", "{image}", "-o", "{out}/a.html", "--overwrite"],
    "try": ["{weights}", "--write", "{out}/site"],
    "doctor": [],
}
#: What takes long or is for other tests; the arguments are all checked before it.
WORK = (
    "esc_plugin.train.run.train",
    "esc_plugin.train.finetune.finetune",
    "esc_plugin.export.export.export",
    "esc_plugin.inspection.study",
    "esc_plugin.page.runtime.fetch_runtime",
)
NONSENSE = (
    "",
    " ",
    "-",
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e400",
    "1e-400",
    "9" * 400,
    "9" * 5000,
    "2.5",
    "None",
    "[1",
    "1,2",
)
NONSENSE += (
    "жx☃\u202e\x1b[31m",
    "a" * 300,
    "é" * 200,
    "a" * 5000,
    "x\udcff.png",
    "a\0b",
    "{",
    "{stem!r:>9}",
    "*",
    "[",
    "a/b/c",
)
PLACES = (
    "{images}",
    "{loop}",
    "{loop}/x.png",
    "{image}",
    "{image}/x.png",
    "{nothing}/x.png",
    "{out}/a.xyz",
    "{out}/a.ome.zarr/",
)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    point_to("http://127.0.0.1:9", monkeypatch, tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    found = {name: tmp_path / name for name in ("images", "out", "cwd", "nothing")}
    for name in ("images", "out", "cwd"):
        found[name].mkdir()
    monkeypatch.chdir(found["cwd"])
    found |= {"image": tmp_path / "a.png", "large": tmp_path / "b.png", "loop": tmp_path / "loop"}
    symlink(found["loop"], found["loop"])
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    for path, factor in ((found["image"], 1), (found["large"], 2), (found["images"] / "c.png", 3)):
        Image.fromarray(pixels.repeat(factor, 0).repeat(factor, 1)).save(path)
    found["weights"] = random_upscaler().model.save_pretrained(tmp_path / "model")
    return found


@pytest.fixture
def esc(monkeypatch: pytest.MonkeyPatch, capsysbinary: Any) -> Callable[..., tuple[int, str, str]]:
    def stopped(*_: Any, **__: Any) -> None:
        raise EscError("reached the work.")

    made_once(monkeypatch)
    for place in WORK:
        monkeypatch.setattr(place, stopped)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["esc-sr", *arguments])
        with pytest.raises(SystemExit) as done:
            cli.main()
        out, err = (said.decode(errors="replace") for said in capsysbinary.readouterr())  # a picture may have been asked for
        return int(done.value.code or 0), out, err

    return run


def slots(command: str) -> list[tuple[str, int]]:
    """Return what can be filled in: the options that take values, and the positions of arguments."""
    named = [(max(p.opts, key=len), p.nargs) for p in COMMANDS[command].params if p.opts[0][0] == "-" and not p.is_flag]
    placed = [i for i, text in enumerate(VALID[command]) if "-" not in (text[0], VALID[command][max(i - 1, 0)][0])]
    return [slot for slot in named if slot[0] != "--help"] + [(str(i), 1) for i in placed]


def filled(command: str, slot: tuple[str, int], value: str, places: dict[str, Path]) -> list[str]:
    arguments = list(VALID[command])
    if slot[0].isdigit():
        arguments[int(slot[0])] = "{value}"
    else:
        arguments += [slot[0], *["{value}"] * slot[1]]
    value = value.format(**places) if value in PLACES else value
    return [value if text == "{value}" else text.format(**places) for text in arguments]


@pytest.mark.skipif(sys.platform == "win32", reason="names have other limits there")
@pytest.mark.parametrize("command", sorted(COMMANDS))
@pytest.mark.parametrize("share", [0.1, pytest.param(0.5, marks=pytest.mark.slow)])
def test_nonsense_is_one_line(command: str, share: float, places: dict[str, Path], esc: Any) -> None:
    if command in ("train", "finetune"):
        pytest.importorskip("lightning")
    seeded = random.Random(command)
    for slot in slots(command):
        for value in seeded.sample(NONSENSE + PLACES, round(share * len(NONSENSE + PLACES))):
            code, out, err = esc(command, *filled(command, slot, value, places))
            told = f"{command} {slot} {value[:60]!r}: {code} {out} {err}"
            assert code in (0, 1, 2), told
            assert "Traceback" not in err, told
            if code == 1:
                assert len(err.splitlines()) == 1, told
                assert err.startswith("error: "), told


def test_valid_arguments_reach_the_work(places: dict[str, Path], esc: Any) -> None:
    """Else the test above would show nothing."""
    pytest.importorskip("lightning")
    for command, arguments in VALID.items():
        code, out, err = esc(command, *(text.format(**places) for text in arguments))
        assert code == 0 or "reached the work" in err, (command, out, err)
