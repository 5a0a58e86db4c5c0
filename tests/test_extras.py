"""Each command does its work with its extra, and without it says in one line what to install."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from esc_plugin.errors import EXTRAS, PACKAGES

from .metadata import ROOT, project

ZARR = ("zarr", "yaozarrs")
#: What the command of an extra below imports, where that is more than `EXTRAS` says.
MORE = {"zarr": ZARR, "cluster": (*EXTRAS["cluster"], *ZARR)}
#: Arguments of a command by the extra that it needs beyond ``cli``.
PLAIN = (
    ("upscale", "{image}", "-o", "{out}/a.png"),
    ("upscale", "{image}", "-o", "{out}/a.tif"),
    ("survey", "{image}", "-o", "{out}/survey.json"),
    ("check", "{image}", "{image}"),
    ("compare", "{image}", "-o", "{out}/comparison.png"),
    ("models",),
    ("info", "esc-nano-x2"),
    ("publish", "esc-nano-x2", "org/name", "--dry-run", "{out}/card"),
)
NEEDING = {
    "zarr": ("upscale", "{image}", "-o", "{out}/a.ome.zarr"),
    "cluster": ("upscale", "{image}", "-o", "{out}/b.ome.zarr", "--workers", "2"),
    "evaluate": ("evaluate", "esc-nano-x2", "{folder}"),
    "train": ("train", "nano", "--data", "{folder}", "--iterations", "1", "--set", "data.patch=16", "-o", "{out}/mine"),
    "export": ("export", "esc-nano-x2", "{out}/a.onnx", "--size", "24", "24"),
    "ncnn": ("export", "esc-nano-x2", "{out}/a.param"),
    "executorch": ("export", "esc-nano-x2", "{out}/a.pte", "--size", "24", "24"),
    "coreml": ("export", "esc-nano-x2", "{out}/a.mlpackage", "--size", "24", "24"),
    "openvino": ("export", "esc-nano-x2", "{out}/a.xml", "--size", "24", "24"),
    "inspect": ("inspect", "esc-nano-x2", "{image}", "-o", "{out}/inspect.html", "--steps", "2"),
    "video": ("upscale", "{film}", "-o", "{out}/a.mp4"),
}
#: These tie torch to one version or take minutes, so that `make test-export` tries them.
ELSEWHERE = {"ncnn", "executorch", "coreml", "openvino"}


def modules_of(extra: str) -> tuple[str, ...]:
    return MORE.get(extra) or EXTRAS[extra]


def is_there(extra: str) -> bool:
    return all(map(importlib.util.find_spec, modules_of(extra)))


@pytest.fixture
def names(tmp_path: Path) -> dict[str, str]:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    for place in (folder, out):
        place.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image, film = folder / "a.png", tmp_path / "a.mp4"
    Image.fromarray(noise).save(image)
    film.write_bytes(b"no film")
    return {"image": str(image), "folder": str(folder), "film": str(film), "out": str(out)}


def with_names(command: tuple[str, ...], names: dict[str, str]) -> list[str]:
    return [word.format_map(names) for word in command]


def make_film(path: str) -> None:
    import av

    with av.open(path, "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        film.mux([*stream.encode(frame), *stream.encode()])


def assert_names_what_to_install(code: int | str, said: str, modules: tuple[str, ...]) -> None:
    assert code == 1, said
    (line,) = said.strip().splitlines()
    assert line.startswith("error: "), said
    assert any(re.search(rf"pip install .*\b{PACKAGES.get(name, name)}\b", line) for name in modules), said


def test_without_typer_there_is_one_line() -> None:
    code = "import sys; sys.modules['typer'] = None; from esc_plugin.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert_names_what_to_install(done.returncode, done.stderr, ("typer",))


@pytest.mark.slow
def test_with_the_extras_that_are_here(names: dict[str, str]) -> None:
    """Of an environment with all of them this asks whether each command works; `tests/floors.py` makes others."""
    pytest.importorskip("typer", reason="needs the extra 'cli'")
    from .commands import run_commands

    if is_there("video"):
        make_film(names["film"])
    asked = [extra for extra in NEEDING if not (extra in ELSEWHERE and is_there(extra))]
    results = run_commands(*(with_names(command, names) for command in (*PLAIN, *(NEEDING[extra] for extra in asked))))
    for command, (code, said) in zip(PLAIN, results, strict=False):
        assert code == 0, (command, said)
    for extra, (code, said) in zip(asked, results[len(PLAIN) :], strict=True):
        if is_there(extra):
            assert code == 0, (extra, said)
        else:
            assert_names_what_to_install(code, said, modules_of(extra))


def test_without_any_extra(names: dict[str, str]) -> None:
    pytest.importorskip("typer", reason="needs the extra 'cli'")
    from .commands import run_commands

    hidden = sorted({name for extra in NEEDING for name in modules_of(extra)})
    results = run_commands(*(with_names(command, names) for command in NEEDING.values()), missing=hidden)
    for extra, (code, said) in zip(NEEDING, results, strict=True):
        assert_names_what_to_install(code, said, modules_of(extra))


def test_what_is_asked_for_is_what_the_extras_bring() -> None:
    extras = project()["optional-dependencies"]
    for extra, modules in EXTRAS.items():
        assert {PACKAGES.get(name, name) for name in modules} <= brought_by(extra, extras), extra


def brought_by(extra: str, extras: dict[str, list[str]]) -> set[str]:
    """Return the packages of an extra, and those parts of packages that are packages: ``dask[distributed]``."""
    found: set[str] = set()
    for line in extras[extra]:
        name, _, parts = re.match(r"([\w-]+)(\[([\w,]*)\])?", line).groups(default="")
        if name == "esc-plugin":
            found.update(*(brought_by(part, extras) for part in parts.split(",")))
        else:
            found.update((name, *parts.split(",")))
    return found
