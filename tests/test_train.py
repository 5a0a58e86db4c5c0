"""Whole trainings, of tiny networks on synthetic images."""

from __future__ import annotations

import errno
import importlib
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from esc_plugin import load_model
from esc_plugin.cli import app
from esc_plugin.cli.program import plain_errors
from esc_plugin.errors import EscError
from esc_plugin.measure.evaluate import evaluate
from esc_plugin.measure.scores import mean
from esc_plugin.network import EscConfig
from esc_plugin.train import run
from esc_plugin.train.callback import TrainingCallback
from esc_plugin.train.folder import alone
from esc_plugin.train.log import read_log
from esc_plugin.train.recipe import Recipe, RecipeError, read_recipe, recipe_names
from esc_plugin.train.run import train
from esc_plugin.train.training import Training
from esc_plugin.upscaler import Upscaler
from esc_plugin.video.parts import Parts

from .small import FakeClock, stop_at
from .systems import needs_signals

TINY = {"dim": 16, "pdim": 8, "kernel_size": 5, "n_blocks": 1, "conv_blocks": 1, "window_size": 8, "num_heads": 2}
TINY |= {"proj_hidden": 16, "conv_hidden": 16}
LTE = {"head": "lte", "mid_dim": 8, "mlp_hidden": [8]}
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three smooth images of 96 pixels."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(3):
        small = Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8))
        small.resize((96, 96), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def _one_thread():
    """Sums are split by threads: the same bits need the same number of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(photos: Path, name: str = "nano", **changes: Any) -> Recipe:
    model = read_recipe(name).model
    like = {"like": model} if isinstance(model, str) else {"like": "ESC", **LTE}
    values = {
        "model": {**like, **TINY},
        "data.folders": [str(photos)],
        "data.patch": 12,
        "data.batch": 2,
        "data.workers": 0,
        "data.synthetic.images": min(2, read_recipe(name).data.synthetic.images),
        "loss.perceptual": 0,  # its network is large; it has tests of its own
        "precision": "float32",
    }
    return read_recipe(name, values | changes)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder / f"{folder.name}.safetensors").network.state_dict()


def checkpoint_of(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.ckpt", weights_only=True)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_runs_and_its_result_loads(name: str, photos: Path, tmp_path: Path) -> None:
    recipe = tiny(photos, name, iterations=2, **{"data.patch": 16})
    weights = train(recipe, tmp_path / "model-a")
    model = load_model(weights)
    assert model.name == "model-a"
    assert model.scale == recipe.scale
    assert model.config.dim == 16
    image = np.asarray(Image.open(photos / "0.png"))[:24, :20]
    assert Upscaler(model, device="cpu")(image).shape == (24 * recipe.scale, 20 * recipe.scale, 3)


def test_what_it_leaves(photos: Path, tmp_path: Path, shared_val: Path) -> None:
    recipe = tiny(
        photos, iterations=4, **{"validation.folder": str(shared_val), "validation.every": 3, "card.license": "MIT"}
    )
    weights = train(recipe, tmp_path / "cells-x2")
    folder = tmp_path / "cells-x2"
    left = {path.name for path in folder.iterdir()}
    assert left >= {"cells-x2.safetensors", "config.json", "README.md", "last.ckpt", "log.csv", "curve.png", "recipe.yaml"}
    assert sorted(p.name for p in (folder / "samples").iterdir()) == ["00000003.png", "00000004.png"]
    assert list((folder / "tensorboard").glob("events.*"))
    assert not [name for name in left if name.startswith(".")]  # nothing half-written
    assert read_recipe(folder / "recipe.yaml") == recipe
    rows = read_log(folder / "log.csv")
    assert [row["iteration"] for row in rows] == ["3", "4"]
    score = mean(evaluate(Upscaler(load_model(weights), device="cpu"), shared_val))
    assert float(rows[-1]["psnr"]) == pytest.approx(score.psnr_y, abs=0.01)
    assert float(rows[-1]["bicubic"]) == pytest.approx(score.bicubic_psnr_y, abs=0.01)
    card = (folder / "README.md").read_text()
    assert f"| val | {score.psnr_y:.2f} | {score.ssim_y:.4f} |" in card
    assert "4 iterations of 2 patches of 12 pixels (bicubic)" in card
    assert "license: mit" in card


def test_16_bit_images_are_measured_on_pairs(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    deep = np.asarray(Image.open(photos / "0.png").convert("L")).astype(np.uint16) * 16
    Image.fromarray(deep).save(tmp_path / "val" / "deep.png")
    train(tiny(photos, iterations=1, **{"validation.folder": str(tmp_path / "val")}), tmp_path / "a")
    row = read_log(tmp_path / "a" / "log.csv")[-1]
    assert 10 < float(row["bicubic"]) < 60
    assert "Figures" not in (tmp_path / "a" / "README.md").read_text()  # no benchmark


@pytest.fixture
def shared_val(tmp_path: Path) -> Path:
    folder = tmp_path / "val"
    folder.mkdir()
    small = Image.fromarray(np.random.default_rng(9).integers(0, 255, (9, 9, 3), np.uint8))
    small.resize((48, 40), Image.Resampling.BICUBIC).save(folder / "a.png")
    return folder


def test_the_average_is_what_is_exported(photos: Path, tmp_path: Path) -> None:
    train(tiny(photos, iterations=3, ema=0.5), tmp_path / "a")
    stored = checkpoint_of(tmp_path / "a")["state_dict"]
    exported = weights_of(tmp_path / "a")
    assert exported.keys() == {name.removeprefix("network.") for name in stored if name.startswith("network.")}
    for name, value in exported.items():
        assert torch.equal(value, stored[f"average.module.{name}"])
    assert any(not torch.equal(value, stored[f"network.{name}"]) for name, value in exported.items())


def test_it_learns(photos: Path, tmp_path: Path) -> None:
    train(tiny(photos, iterations=100, ema=0.9, **{"optimizer.lr": 5e-3}), tmp_path / "a")
    losses = [float(row["loss"]) for row in read_log(tmp_path / "a" / "log.csv")]
    assert losses[-1] < 0.5 * losses[0]


SCRIPT = """
from tests.mend import mend_torchvision

mend_torchvision()
from esc_plugin.cli import main

main()
"""


@pytest.fixture
def esc_sr(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return what starts the command line as a program of its own, from a file: Lightning starts more of it by its name."""
    script = tmp_path / "esc-sr.py"
    script.write_text(SCRIPT)

    def start(*arguments: object) -> subprocess.Popen[str]:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(script), *map(str, arguments)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.is_file():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


@pytest.fixture
def long_recipe(photos: Path, tmp_path: Path) -> Path:
    """Write a recipe of 150 iterations with a checkpoint every 7, as a file, and return it."""
    from esc_plugin.train.run import write_recipe

    (tmp_path / "long").mkdir()
    write_recipe(tiny(photos, iterations=150, checkpoint_every=7, **{"validation.every": 1000}), tmp_path / "long")
    return tmp_path / "long" / "recipe.yaml"


@pytest.mark.slow
def test_killed_and_resumed_is_as_if_nothing_had_happened(esc_sr: Any, long_recipe: Path, tmp_path: Path) -> None:
    process = esc_sr("train", long_recipe, "-o", tmp_path / "killed", "--device", "cpu")
    wait_for(tmp_path / "killed" / "last.ckpt", process)
    time.sleep(random.random() * 0.5)
    process.kill()
    process.communicate()
    assert checkpoint_of(tmp_path / "killed")["esc"]["iteration"] < 150
    for name in ("killed", "whole"):
        train(read_recipe(long_recipe), tmp_path / name)
    killed, whole = (checkpoint_of(tmp_path / name) for name in ("killed", "whole"))
    assert killed["esc"]["iteration"] == whole["esc"]["iteration"] == 150
    for name, value in whole["state_dict"].items():  # the weights and their average
        assert torch.equal(killed["state_dict"][name], value), name
    for number, state in whole["optimizer_states"][0]["state"].items():
        assert all(torch.equal(killed["optimizer_states"][0]["state"][number][k], v) for k, v in state.items())
    iterations = [row["iteration"] for row in read_log(tmp_path / "killed" / "log.csv")]
    assert iterations == [row["iteration"] for row in read_log(tmp_path / "whole" / "log.csv")]


@pytest.mark.slow
@needs_signals
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_with_a_checkpoint(ended_by: signal.Signals, esc_sr: Any, long_recipe: Path, tmp_path: Path) -> None:
    process = esc_sr("train", long_recipe, "-o", tmp_path / "a", "--device", "cpu")
    wait_for(tmp_path / "a" / "last.ckpt", process)
    process.send_signal(ended_by)
    told = process.communicate(timeout=200)[0]
    assert process.returncode == 128 + ended_by, told
    assert "Traceback" not in told
    assert "The same command goes on with" in told
    done = checkpoint_of(tmp_path / "a")["esc"]["iteration"]
    assert 7 <= done < 150
    train(read_recipe(long_recipe, {"iterations": done + 2}), tmp_path / "a", resume=True)
    assert checkpoint_of(tmp_path / "a")["esc"]["iteration"] == done + 2


@pytest.mark.slow
def test_two_devices_see_what_one_sees(esc_sr: Any, photos: Path, tmp_path: Path) -> None:
    from esc_plugin.train.run import write_recipe

    (tmp_path / "r").mkdir()
    write_recipe(tiny(photos, iterations=5, **{"data.batch": 4}), tmp_path / "r")
    process = esc_sr("train", tmp_path / "r" / "recipe.yaml", "-o", tmp_path / "two", "--device", "cpu", "--devices", 2)
    told = process.communicate(timeout=200)[0]
    assert process.returncode == 0, told
    train(read_recipe(tmp_path / "r" / "recipe.yaml"), tmp_path / "one")
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=2e-5)


def test_a_finished_training_is_left_alone(photos: Path, tmp_path: Path) -> None:
    recipe = tiny(photos, iterations=2)
    weights = train(recipe, tmp_path / "a")
    before = weights.read_bytes()
    train(recipe, tmp_path / "a", resume=True)
    assert weights.read_bytes() == before
    assert checkpoint_of(tmp_path / "a")["esc"]["iteration"] == 2


def test_two_processes_dont_train_in_the_same_folder(photos: Path, tmp_path: Path) -> None:
    recipe = tiny(photos, iterations=2)
    with alone(tmp_path / "a"), pytest.raises(EscError, match="another process trains in"):
        train(recipe, tmp_path / "a")
    train(recipe, tmp_path / "a")


def test_a_disk_without_locks_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older filelocks say so in their own way, for a film too."""

    def refuse(_: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    for work in (alone(tmp_path / "a"), Parts(tmp_path / "b.mkv", {}).claimed()):
        with pytest.raises(EscError, match=r"can't write .* FileSystem does not"), work:
            pass


@needs_signals
def test_one_that_was_stopped_in_its_last_iteration_gets_its_model(photos: Path, tmp_path: Path, monkeypatch) -> None:
    recipe = tiny(photos, iterations=2)
    train(recipe, tmp_path / "whole" / "a")
    with monkeypatch.context() as patched:
        stop_at(2, patched)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "a")
    train(recipe, tmp_path / "a")
    made, wanted = weights_of(tmp_path / "a"), weights_of(tmp_path / "whole" / "a")
    assert all(torch.equal(made[name], value) for name, value in wanted.items())
    assert (tmp_path / "a" / "README.md").read_text() == (tmp_path / "whole" / "a" / "README.md").read_text()


def test_the_clock_ends_it(photos: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    train(tiny(photos, minutes=0.03), tmp_path / "a")
    assert time.monotonic() - started > 1.8
    rows = read_log(tmp_path / "a" / "log.csv")
    assert float(rows[-1]["seconds"]) == pytest.approx(1.8, abs=1)
    assert float(rows[-1]["learning_rate"]) == pytest.approx(1.2e-5)  # the end of its schedule


def test_the_time_includes_reading_and_measuring(photos: Path, tmp_path: Path, shared_val: Path, monkeypatch) -> None:
    """By a clock that moves only when something is said to take time: reading 5 s, an iteration 1 s, measuring 10 s."""
    clock = FakeClock(monkeypatch)
    clock.takes(10, TrainingCallback, "_measure")
    clock.takes(1, Training, "training_step")
    clock.takes(5, run, "_open")
    train(tiny(photos, minutes=1, **{"validation.folder": str(shared_val), "validation.every": 10}), tmp_path / "a")
    row = read_log(tmp_path / "a" / "log.csv")[-1]
    # Read, measured at the start, 10 iterations, measured, 25 iterations, measured at the end; once more would be too late.
    assert row["iteration"] == "25"
    assert clock.now == pytest.approx(60, abs=1)
    assert float(row["learning_rate"]) == pytest.approx(1.2e-5)


@pytest.mark.parametrize("minutes", [float("nan"), float("inf"), 1e300])
def test_a_time_that_is_none_is_refused(minutes: float, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        EscError, match=rf"the minutes must be above 0 and at most 5,256,000 .*, not {minutes!r}".replace("+", r"\+")
    ):
        train(replace(tiny(photos), minutes=minutes), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_x4_from_x2(photos: Path, tmp_path: Path) -> None:
    train(tiny(photos, iterations=1), tmp_path / "x2")
    init = str(tmp_path / "x2" / "x2.safetensors")
    train(tiny(photos, iterations=1, scale=4, model="", init=init), tmp_path / "x4")
    assert load_model(tmp_path / "x4" / "x4.safetensors").config == EscConfig(**TINY, scale=4)


def test_the_bundled_model_goes_on(photos: Path, tmp_path: Path) -> None:
    recipe = read_recipe("nano", {"init": "esc-nano-x2", "iterations": 1, "data.folders": [str(photos)], "data.batch": 1})
    model = load_model(train(recipe, tmp_path / "mine"))
    assert model.card["family"] == "ESC-nano"
    assert "From the weights of esc-nano-x2, 1 iterations" in model.card["training"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classical"], "there is no recipe 'classical'"),
        (["nano"], "data.folders: missing; name folders of images with --data"),
        (["nano", "--data", "nowhere"], "there is no file or folder 'nowhere'"),
        (
            ["nano", "--data", "{photos}", "--set", "data.patch=64"],
            "0.png' is 96 x 96 pixels; the recipe's patches need 128",
        ),
        (["nano", "--data", "{photos}", "--init", "esc-x9"], "there is no model 'esc-x9'"),
        (["nano", "--data", "{photos}", "--val", "{photos}"], "is trained on too; measure on other images"),
        (["nano", "--data", "{photos}", "--resume"], "it holds no last.ckpt"),
        (["nano", "--data", "{photos}", "--device", "tpux"], "'tpux'"),
        (["nano", "--data", "{photos}", "--set", "optimizer.lr"], "write entry=value"),
        (["nano", "--data", "{photos}", "--minutes", "-1"], "--minutes must be from 0.01 to 5,256,000, not -1.0"),
    ],
)
def test_errors_come_before_the_work(
    arguments: list[str], message: str, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    filled = [argument.format(photos=photos) for argument in arguments]
    with pytest.raises(SystemExit) as caught, plain_errors():
        app(["train", *filled, "-o", str(tmp_path / "out")])
    told = capfd.readouterr().err
    assert caught.value.code == 1
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out" / "log.csv").exists()


def test_a_loss_that_is_lost_spoils_nothing(photos: Path, tmp_path: Path) -> None:
    weights = train(tiny(photos, iterations=2), tmp_path / "a")
    before, checkpoint = weights.read_bytes(), (tmp_path / "a" / "last.ckpt").read_bytes()
    stored = checkpoint_of(tmp_path / "a")
    stored["state_dict"]["network.last.bias"].fill_(float("nan"))
    torch.save(stored, tmp_path / "a" / "last.ckpt")
    spoiled = (tmp_path / "a" / "last.ckpt").read_bytes()
    with pytest.raises(EscError, match=r"the loss is nan at iteration 4; lower optimizer\.lr, or set optimizer\.clip"):
        train(tiny(photos, iterations=4), tmp_path / "a")
    assert weights.read_bytes() == before
    assert (tmp_path / "a" / "last.ckpt").read_bytes() == spoiled != checkpoint


FULL_DISK = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
from tests.mend import mend_torchvision

mend_torchvision()
from esc_plugin.errors import EscError
from esc_plugin.train.recipe import read_recipe
from esc_plugin.train.run import train

recipe, folder = read_recipe(sys.argv[1]), Path(sys.argv[2])

def report(share, row):
    if (folder / "last.ckpt").is_file():  # from now on no file may become so large
        resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "last.ckpt").stat().st_size // 2,) * 2)

try:
    train(recipe, folder, report=report)
except EscError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_the_older_checkpoint(long_recipe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(long_recipe), str(tmp_path / "a")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=250)
    assert f"can't write '{tmp_path / 'a' / 'last.ckpt'}': " in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1
    assert checkpoint_of(tmp_path / "a")["esc"]["iteration"] == 7
    assert not list((tmp_path / "a").glob(".*"))


def test_what_the_thread_of_tensorboard_could_not_write_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    told: list[Any] = []

    def refuse(_: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    given: queue.Queue[Any] = queue.Queue()
    given.put(b"event")
    threads = [
        writer._AsyncWriterThread(given, SimpleNamespace(write=refuse), 100),
        threading.Thread(target=refuse, args=(b"",)),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(threading, "excepthook", told.append)
        with run._quiet():
            for thread in threads:
                thread.start()
                thread.join()
        assert [failure.thread for failure in told] == threads[1:]
        assert threads[0].exception.errno == errno.ENOSPC
        assert threading.excepthook == told.append


def test_a_checkpoint_appears_whole(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes it, and wherever: until it is whole, the older one stays."""
    from lightning import Trainer

    train(tiny(photos, iterations=1), tmp_path / "a")
    older = (tmp_path / "a" / "last.ckpt").read_bytes()

    def cut_off(trainer: Trainer, path: Path) -> None:
        Path(path).write_bytes(older[: len(older) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trainer, "save_checkpoint", cut_off)
    with pytest.raises(EscError, match=r"can't write .*last\.ckpt': No space left on device"):
        train(tiny(photos, iterations=2), tmp_path / "a")
    assert (tmp_path / "a" / "last.ckpt").read_bytes() == older
    assert not list((tmp_path / "a").glob(".*"))


@pytest.mark.parametrize("name", ["README.md", "config.json", "recipe.yaml", "log.csv", "a-note.txt", "last.ckpt"])
def test_files_of_others_are_never_overwritten(name: str, photos: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "mine"
    (folder / "cache").mkdir(parents=True)  # as anybody may have one
    (folder / name).write_text("mine")
    monkeypatch.chdir(folder)
    for output in (folder, Path()):
        with pytest.raises(EscError, match=re.escape(repr(name)) if name != "last.ckpt" else "name another --output"):
            train(tiny(photos, iterations=1), output)
    assert {path.name for path in folder.iterdir()} == {"cache", name}
    assert (folder / name).read_text() == "mine"


def test_an_empty_folder_is_taken_by_its_name(photos: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "my cells").mkdir()
    monkeypatch.chdir(tmp_path / "my cells")
    assert train(tiny(photos, iterations=1), Path()) == tmp_path / "my cells" / "my-cells.safetensors"
    assert load_model(tmp_path / "my cells" / "my-cells.safetensors").scale == 2


def test_a_training_that_was_killed_before_its_first_checkpoint_is_ours(photos: Path, tmp_path: Path, monkeypatch) -> None:
    class Killed(BaseException):
        pass

    def killed(share: float, row: dict[str, float]) -> None:
        raise Killed

    with pytest.raises(Killed):
        train(tiny(photos, iterations=1), tmp_path / "a", report=killed)
    assert not (tmp_path / "a" / "last.ckpt").exists()
    assert train(tiny(photos, iterations=1), tmp_path / "a").is_file()


def test_no_folder_no_training(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(EscError, match=r"can't make the folder '.*a': File exists"):
        train(tiny(photos), tmp_path / "a")


def test_another_training_is_not_gone_on_with(photos: Path, tmp_path: Path) -> None:
    train(tiny(photos, iterations=1), tmp_path / "a")
    with pytest.raises(
        RecipeError, match=r"holds a training with another optimizer, seed; take that recipe, or another --output"
    ):
        train(tiny(photos, iterations=2, seed=1, **{"optimizer.lr": 1}), tmp_path / "a")
    train(tiny(photos, iterations=2, **{"data.workers": 1}), tmp_path / "a")  # who makes the pairs doesn't matter
    (tmp_path / "a" / "last.ckpt").write_bytes(b"damaged")
    with pytest.raises(RecipeError, match="is no checkpoint that can be gone on with; name another --output"):
        train(tiny(photos, iterations=3), tmp_path / "a")


BLOCKED = """
import sys
import threading
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from esc_plugin.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("blocked", "command", "packages"),
    [
        ("lightning,tensorboard", "train nano", "lightning tensorboard"),
        ("matplotlib", "finetune nowhere", "matplotlib"),
        ("skimage", "finetune nowhere", "scikit-image"),
        ("skimage", "evaluate nothing nowhere", "scikit-image"),
        ("onnxscript", "export nothing out.onnx", "onnxscript"),
        ("matplotlib", "inspect nothing no.png", "matplotlib"),
    ],
)
def test_a_missing_extra_is_named_before_any_work(blocked: str, command: str, packages: str, tmp_path: Path) -> None:
    """In a process of its own, where the packages can't be imported; no torch is loaded to say so."""
    arguments = [sys.executable, "-c", BLOCKED, blocked, *command.split()]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert done.stdout.split() == ["1", "False"]
    assert f"install them with: pip install {packages}\n" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_import_error_of_our_own_is_not_taken_for_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "esc_plugin.train.run", raising=False)
    monkeypatch.setitem(sys.modules, "esc_plugin.train.callback", None)
    with pytest.raises(ModuleNotFoundError, match=r"import of esc_plugin\.train\.callback halted"):
        importlib.import_module("esc_plugin.train.run")


def test_nobody_imports_lightning_by_accident() -> None:
    code = "import sys, esc_plugin.cli, esc_plugin.train; print([m for m in ('torch', 'lightning') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
