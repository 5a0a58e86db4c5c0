"""The command line as a user meets it: a process, files, exit codes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from esc_plugin.measure.scores import luma, psnr

from .commands import ENVIRONMENT, ROOT, run_commands
from .systems import needs_signals

COMMAND = [sys.executable, "-m", "esc_plugin.cli"]
#: Says when the work begins, for who wants to disturb it.
TELLING = """
from esc_plugin.cli import main
from esc_plugin.engine.run import Run
execute = Run.execute
def told(*arguments, **options):
    print("begun", flush=True)
    return execute(*arguments, **options)
Run.execute = told
main()
"""


def esc(*arguments: object, code: int = 0) -> str:
    """Run the command and return what it said."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "stated", "bicubic"), [(2, 37.35, 33.67), (4, 31.21, 28.43)])
def test_bundled_models_reach_their_stated_figures_on_set5(shared, tmp_path, scale, stated, bicubic) -> None:
    folder = shared / "data" / "set5"
    esc("upscale", folder / "LR_bicubic" / f"X{scale}", "-s", scale, "--for", "clean", "-o", tmp_path)
    figures = []
    for result in sorted(tmp_path.glob("*.png")):
        found = np.array(Image.open(result).convert("RGB"))
        name = result.name.split(f"x{scale}")[0]
        truth = np.array(Image.open(folder / "HR" / f"{name}.png").convert("RGB"))[: found.shape[0], : found.shape[1]]
        inner = (slice(scale, -scale), slice(scale, -scale))
        figures.append(psnr(luma(found[inner]), luma(truth[inner])))
    assert len(figures) == 5
    assert np.mean(figures) == pytest.approx(stated, abs=0.02)
    assert np.mean(figures) - bicubic > stated - bicubic - 0.02


def test_any_size(tmp_path: Path) -> None:
    rng, sizes = np.random.default_rng(0), [(1, 1), (1, 300), (33, 17)]
    for i, size in enumerate(sizes):
        Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(tmp_path / f"{i}.png")
    esc("upscale", tmp_path, "-o", tmp_path / "out")
    for i, (height, width) in enumerate(sizes):
        assert size_of(tmp_path / "out" / f"{i}_x2.png") == (2 * width, 2 * height)


class _Runs:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def bad_inputs(folder: Path) -> dict[str, tuple[list[object], str]]:
    """Files that can't be used, the arguments that name them, and what the error must mention."""
    (folder / "text.png").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "empty.safetensors").write_bytes(b"")
    torch.save({"params": _Runs()}, folder / "code.pth")
    save_file({"conv.weight": torch.zeros(3, 3)}, folder / "other.safetensors")
    Image.new("RGB", (4, 4)).save(folder / "good.png")
    image = folder / "good.png"
    return {
        "text": ([folder / "text.png"], "text.png"),
        "empty": ([folder / "empty.png"], "empty.png"),
        "missing": ([folder / "nothing.png"], "nothing.png"),
        "model with code": ([image, "-m", folder / "code.pth"], "executed"),
        "empty model": ([image, "-m", folder / "empty.safetensors"], "empty.safetensors"),
        "other network": ([image, "-m", folder / "other.safetensors"], "no ESC network"),
        "missing model": ([image, "-m", folder / "nothing.pth"], "nothing.pth"),
        "misspelt model": ([image, "-m", "esc-nano-x3"], "esc-nano-x2"),
        "memory": ([image, "--memory", "a lot"], "a lot"),
        "device": ([image, "--device", "abacus"], "abacus"),
        "precision": ([image, "--precision", "int3"], "int3"),
    }


def test_bad_input_is_one_line_a_code_and_nothing_written(tmp_path: Path) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    out.mkdir()
    cases = bad_inputs(inputs)
    results = run_commands(*(["upscale", *arguments, "-o", out / name] for name, (arguments, _) in cases.items()))
    for (name, (_, mentioned)), (code, said) in zip(cases.items(), results, strict=True):
        assert code == 1, (name, said)
        assert "Traceback" not in said, (name, said)
        assert mentioned in said, (name, said)
        assert len([line for line in said.splitlines() if line.strip()]) <= 2, (name, said)  # a batch adds its summary
    assert not [path for path in out.rglob("*") if path.is_file()]
    assert not (ROOT / "executed").exists()


@needs_signals
def test_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), np.uint8)).save(tmp_path / "in.png")
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-c", TELLING, "upscale", str(tmp_path / "in.png"), "-o", str(out)]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    # A job in the background is started with Ctrl-C ignored, and hands that on to its children.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, **pipes, **heard) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130, said
    assert said == "cancelled.\n"
    assert list(out.iterdir()) == []


def test_models_and_info_need_no_knowledge() -> None:
    (_, models), (_, info) = run_commands(["models"], ["info", "esc-nano-x4"])
    assert "esc-nano-x2" in models
    assert "163,316" in info
    assert "MIT" in info


def test_a_plan_is_shown_and_nothing_done(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200)).save(tmp_path / "in.png")
    said = esc("upscale", tmp_path / "in.png", "--plan", "--memory", "1GB")
    for word in ("feature maps", "chunks of work", "peak on cpu", "time"):
        assert word in said
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


def test_compare_draws_four_panels(tmp_path: Path) -> None:
    image = tmp_path / "in.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(image)
    options = ["--degrade", "noise=10,jpeg=80", "--detail", "0,0,32,32", "--zoom", "2", "-o", tmp_path / "sheet.png"]
    good, bad, unfit = run_commands(
        ["compare", image, *options],
        ["compare", image, "--detail", "0,0,999,9"],
        ["compare", image, "--degrade", "bin=4", "-m", "esc-nano-x2"],
    )
    assert good[0] == 0, good
    width, height = size_of(tmp_path / "sheet.png")
    assert width >= 4 * 64 + 5 * 12  # captions may need more
    assert height == 34 + 64 + 34
    assert re.search(r"bicubic \d+\.\d\d dB, esc-nano\S* \d+\.\d\d dB", good[1]), good
    assert unfit[0] == 1
    assert "bin=4" in unfit[1]
    assert bad[0] == 1
    assert "outside" in bad[1]
