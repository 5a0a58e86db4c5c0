"""Fine-tuning on a few images: what is held out, what is measured, what is written."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from scipy import ndimage

from esc_plugin.arrays.bicubic import enlarge
from esc_plugin.catalog.gains import stated_gains
from esc_plugin.catalog.load import load_model
from esc_plugin.cli import main
from esc_plugin.errors import EscError
from esc_plugin.measure.scores import mean
from esc_plugin.network import ESC
from esc_plugin.train import finetune as module
from esc_plugin.train.finetune import finetune
from esc_plugin.train.held_out import HeldOut, HeldOutScore
from esc_plugin.train.images import open_images
from esc_plugin.train.pairs.registry import make_maker
from esc_plugin.train.split import split
from esc_plugin.train.training import Training
from esc_plugin.train.wish import Outcome, Wish
from esc_plugin.weights.model import Model

from .small import FakeClock, nearest_upscaler, small_config, stop_at

#: So few photons that a network soon learns more than bicubic interpolation knows.
DARK = {"photons": [3, 3]}


def spots(seed: int, size: int = 80) -> np.ndarray:
    """Return fluorescent spots (size, size), 8-bit."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size, size))
    image[rng.integers(0, size, 40), rng.integers(0, size, 40)] = rng.random(40)
    image = ndimage.gaussian_filter(image, 1.5)
    return (10 + 200 * image / image.max()).astype(np.uint8)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Crops are measured one after the other: what happens between them is watched."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    folder = tmp_path / "samples"
    folder.mkdir()
    for i in range(6):
        Image.fromarray(spots(i)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def start(tmp_path: Path) -> str:
    """Return the path of a small model that knows nothing."""
    config = small_config()
    torch.manual_seed(0)
    model = Model(ESC(config).eval(), config, "start", "nowhere", "", {"license": "MIT", "family": "ESC-small"})
    return str(model.save_pretrained(tmp_path / "start"))


def test_a_model_gets_better_and_says_so(samples: Path, start: str, tmp_path: Path) -> None:
    outcome = finetune([samples], Wish(start, iterations=40, options=DARK), tmp_path / "spots-x2")
    found = mean(outcome.scores)
    assert found.after > max(found.before, found.bicubic)
    assert outcome.problem == ""
    assert outcome.weights == tmp_path / "spots-x2" / "spots-x2.safetensors"
    assert (outcome.iterations, outcome.interrupted, len(outcome.scores)) == (40, False, 1)
    made = load_model(outcome.weights)
    assert made.card["purpose"] == "microscopy"
    assert made.card["license"] == "MIT"
    (gain,) = stated_gains(made.card)
    assert (gain.purpose, gain.count, gain.db) == ("microscopy", 1, round(found.after - found.bicubic, 2))
    assert f"PSNR {found.after:.2f} dB; before {found.before:.2f}" in made.card["training"]
    written = {path.name for path in (tmp_path / "spots-x2").iterdir()}
    assert written == {"spots-x2.safetensors", "config.json", "README.md", "held-out.csv", "held-out.png", "example.png"}
    with (tmp_path / "spots-x2" / "held-out.csv").open() as file:
        assert float(list(csv.DictReader(file))[-1]["after"]) == pytest.approx(found.after, abs=1e-3)


@pytest.mark.parametrize(("kind", "depth"), [("microscopy", 16), ("photo", 16), ("photo", 8)])
def test_deep_and_coloured_images(kind: str, depth: int, start: str, tmp_path: Path) -> None:
    for i in range(5):
        gray = spots(i).astype(np.uint16) * 13 + 400  # of a 12-bit camera
        colour = np.stack([spots(10 * i + c) for c in range(3)], 2)
        image, photometric = (gray, "minisblack") if depth == 16 else (colour, "rgb")
        tifffile.imwrite(tmp_path / f"{i}.tif", image, photometric=photometric)
    wish = Wish(start, kind, iterations=10, keep=True)
    outcome = finetune(sorted(tmp_path.glob("*.tif")), wish, tmp_path / "better")
    assert mean(outcome.scores).after > mean(outcome.scores).before
    assert load_model(tmp_path / "better").card["purpose"] == ("microscopy" if kind == "microscopy" else "clean photo")


def test_a_model_that_got_no_better_is_not_written(samples: Path, start: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_averaged", lambda checkpoint, model: (model.network, 2))
    outcome = finetune([samples], Wish(start, iterations=2, keep=True), tmp_path / "same")
    assert outcome.weights is None
    assert mean(outcome.scores).after == mean(outcome.scores).before
    assert outcome.problem.startswith("after 2 iterations it is no better than before: ")
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "start"}


def test_a_model_that_is_worse_than_bicubic_is_written_only_if_asked(samples: Path, start: str, tmp_path: Path) -> None:
    outcome = finetune([samples], Wish(start, iterations=10), tmp_path / "mine")
    found = mean(outcome.scores)
    assert found.before < found.after < found.bicubic
    assert outcome.weights is None
    assert outcome.problem == (
        f"after 10 iterations bicubic interpolation is still better: {found.bicubic:.2f} dB, the model {found.after:.2f}"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "start"}
    kept = finetune([samples], Wish(start, iterations=10, keep=True), tmp_path / "mine")
    assert (kept.scores, kept.problem) == (outcome.scores, outcome.problem)
    assert "bicubic interpolation is better" in (tmp_path / "mine" / "README.md").read_text()
    assert load_model(tmp_path / "mine").scale == 2


@pytest.mark.parametrize("figure", ["before", "bicubic"])
def test_no_number_is_no_success(figure: str) -> None:
    good = HeldOutScore("a", bicubic=30, before=31, after=32)
    assert Outcome(None, [good], 1, False).problem == ""
    for changes in ({figure: 33}, {figure: 32}, {"after": float("nan")}):
        assert Outcome(None, [replace(good, **changes)], 1, False).problem


def test_one_progress_goes_through_all_parts(samples: Path, start: str, tmp_path: Path, monkeypatch) -> None:
    told, during = [], {}
    for owner, name in ((module.HeldOut, "_upscaled"), (Training, "count")):
        function = getattr(owner, name)

        def spied(*arguments, function=function, name=name):
            during.setdefault(name, set()).add(len(told))
            return function(*arguments)

        monkeypatch.setattr(owner, name, spied)
    finetune([samples], Wish(start, iterations=10), tmp_path / "out", lambda *pair: told.append(pair))
    done = [number for number, total in told if total == 1000]
    assert len(done) == len(told)
    assert done == sorted(done)
    assert done[-1] == 1000
    assert len(during["_upscaled"]) == 2 * 4  # told between any two crops, before and after,
    assert len(during["count"]) == 10  # and between any two iterations


def test_the_time_includes_reading_and_measuring(samples: Path, start: str, tmp_path: Path, monkeypatch) -> None:
    """By a clock that moves only when something is said to take time: a crop 4 s, an iteration 2 s, reading 10 s."""
    clock, told = FakeClock(monkeypatch), []
    clock.takes(4, module.HeldOut, "_upscaled")
    clock.takes(2, Training, "training_step")
    clock.takes(10, module, "split")
    outcome = finetune(
        [samples], Wish(start, minutes=5, keep=True), tmp_path / "out", lambda done, total: told.append((clock.now, done))
    )
    assert clock.now <= 300
    assert 100 < outcome.iterations < 140  # most of the time
    assert told[-1][1] == 1000
    for seconds, done in told[:-1]:  # how far it is, is what the clock says
        assert done == pytest.approx(seconds / 300 * 1000, abs=1)


def test_on_a_machine_that_gets_busy_fewer_crops_are_measured(
    samples: Path, start: str, tmp_path: Path, monkeypatch
) -> None:
    clock = FakeClock(monkeypatch)
    crop = [2.0]
    upscaled = module.HeldOut._upscaled

    def slower(*arguments):
        clock.now += crop[0]
        return upscaled(*arguments)

    def busy(*arguments):
        crop[0] = 4.0
        return averaged(*arguments)

    averaged = module._averaged
    monkeypatch.setattr(module.HeldOut, "_upscaled", slower)
    monkeypatch.setattr(module, "_averaged", busy)
    clock.takes(2, Training, "training_step")
    measured = []
    scores = module.HeldOut.scores
    monkeypatch.setattr(
        module.HeldOut, "scores", lambda *a: measured.append([len(errors) for errors in a[1:]]) or scores(*a)
    )
    finetune([samples], Wish(start, minutes=2), tmp_path / "out")
    assert measured == [[4, 2]]
    assert clock.now <= 120


def test_the_number_of_crops_is_bounded(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([spots(i % 3, 40) for i in range(70)]), photometric="minisblack")
    images = open_images([tmp_path / "stack.tif"], tmp_path / "cache", 1)
    held_out = HeldOut(images, make_maker("microscopy", 2, 16, {}), torch.device("cpu"))
    assert len(held_out.pairs) == 32
    (score,) = held_out.scores([0.01] * 32, [0.001] * 32)
    assert (Path(score.image).name, score.before, score.after) == ("stack.tif", pytest.approx(20), pytest.approx(30))


@pytest.mark.parametrize("name", ["README.md", "config.json", "held-out.csv", "a-note.txt"])
def test_files_of_others_are_never_overwritten(name: str, samples: Path, start: str, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_text("mine")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(module, "find_originals", lambda images: pytest.fail("work had begun"))
    for output in (folder, Path()):
        with pytest.raises(EscError, match=f"holds '{name}', "):
            finetune([samples], Wish(start, iterations=1, keep=True), output)
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "mine")]


def test_a_stopped_one_keeps_what_it_learned(samples: Path, start: str, tmp_path: Path, monkeypatch) -> None:
    stop_at(10, monkeypatch)
    outcome = finetune([samples], Wish(start, iterations=500, keep=True), tmp_path / "stopped")
    assert (outcome.iterations, outcome.interrupted) == (10, True)
    assert outcome.weights is not None
    assert mean(outcome.scores).after > mean(outcome.scores).before


def test_what_is_measured_is_never_trained_on(samples: Path, start: str, tmp_path: Path, monkeypatch) -> None:
    seen = []

    def spy(*_, **options) -> None:
        seen.extend(entry.name for entry in options["images"].entries)
        raise KeyboardInterrupt

    measured = []
    held_out = module._held_out
    monkeypatch.setattr(module, "train", spy)
    monkeypatch.setattr(module, "_held_out", lambda *a: measured.append(found := held_out(*a)) or found)
    with pytest.raises(KeyboardInterrupt):
        finetune([samples], Wish(start), tmp_path / "out")
    assert len(seen) == 5
    assert set(seen) | set(measured[0].names) == {f"{i}.png" for i in range(6)}
    assert not set(seen) & set(measured[0].names)


@pytest.mark.parametrize("shape", [(80, 60), (60, 80, 3), (3, 60, 80)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_few_files_are_cut(tmp_path: Path, shape: tuple[int, ...], dtype) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype)
    tifffile.imwrite(tmp_path / "few.tif", image, photometric="rgb" if shape[-1] == 3 else "minisblack")
    seen, unseen = split([tmp_path / "few.tif"], tmp_path / "parts")
    assert len(seen) == len(unseen) == (3 if shape[0] == 3 else 1)
    first, last = seen[0], unseen[0]
    plane = image[0] if shape[0] == 3 else image
    axis = int(plane.shape[1] > plane.shape[0])
    assert (first.shape[axis], last.shape[axis]) == (60, 20)
    if dtype == np.uint8:
        assert np.array_equal(np.concatenate([first, last], axis).squeeze(), plane)


def test_psnr_is_that_of_the_degraded_crops(tmp_path: Path) -> None:
    """By hand, with a network that repeats pixels."""
    Image.fromarray(spots(1)).save(tmp_path / "a.png")
    images = open_images([tmp_path / "a.png"], tmp_path / "cache", 1)
    maker = make_maker("microscopy", 2, 16, {"photons": [50, 50]})
    held_out = HeldOut(images, maker, torch.device("cpu"))
    errors = []
    for low, high in held_out.pairs:
        repeated = np.kron(low[0].numpy().astype(np.float64), np.ones((2, 2)))
        errors.append(np.mean((repeated - high[0].numpy()) ** 2))
    expected = -10 * np.log10(np.mean(errors))
    found = held_out.measure(nearest_upscaler().model.network)
    (score,) = held_out.scores(found, found)
    assert score.before == score.after == pytest.approx(expected, abs=1e-4)
    again = HeldOut(images, maker, torch.device("cpu"))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(held_out.pairs, again.pairs, strict=True))


def test_bicubic_is_that_of_the_field(tmp_path: Path) -> None:
    """Keys' kernel with a = -0.5, as in Pillow, not torch's -0.75."""
    low = spots(2, 24)
    found = enlarge(torch.from_numpy(low)[None] / 255, (48, 48))
    expected = np.asarray(Image.fromarray(low.astype(np.float32), "F").resize((48, 48), Image.Resampling.BICUBIC)) / 255
    assert np.allclose(found[0].numpy(), expected.clip(0, 1), atol=2e-4)


def test_what_can_not_be_is_refused_before_work_starts(samples: Path, start: str, tmp_path: Path) -> None:
    with pytest.raises(EscError, match="kind must be one of microscopy, photo, not 'telescope'"):
        Wish(start, kind="telescope")
    for minutes in (-1, 0, float("nan"), float("inf"), 1e300):
        with pytest.raises(
            EscError, match=re.escape(f"minutes must be above 0 and at most 5,256,000 (ten years), not {minutes!r}")
        ):
            Wish(start, minutes=minutes)
    with pytest.raises(EscError, match="there is no folder"):
        finetune([tmp_path / "nowhere"], Wish(start), tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(EscError, match="can't write"):
        finetune([samples], Wish(start), tmp_path / "file" / "out")
    with pytest.raises(EscError, match="photons"):
        finetune([samples], Wish(start, options={"photons": [5, 1]}), tmp_path / "out")
    Image.fromarray(spots(0, 40)).save(tmp_path / "tiny.png")
    with pytest.raises(EscError, match=r"'tiny\.png' leaves 10 x 40 pixels; 32 x 32 are the least"):
        finetune([tmp_path / "tiny.png"], Wish(start), tmp_path / "out")
    with pytest.raises(EscError, match=r"holds '.*', which would be overwritten; name a new folder"):
        finetune([samples], Wish(start), Path(start).parent)
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "start", "tiny.png", "file"}


def test_what_the_gain_does_not_show_is_told_before_the_training(start: str, tmp_path: Path, capsys, monkeypatch) -> None:
    """Six pictures of the same place: by the command, and on the card."""
    folder, told = tmp_path / "same", []
    folder.mkdir()
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 5, (96, 96), np.uint8)
        Image.fromarray(spots(0, 96) + noise).save(folder / f"{i}.png")

    def begun(*_, **__) -> None:
        told.append(capsys.readouterr().err)
        raise KeyboardInterrupt

    arguments = ["esc-sr", "finetune", str(folder), "--init", start, "--minutes", "1", "-o", str(tmp_path / "out")]
    with monkeypatch.context() as changed:
        changed.setattr(module, "train", begun)
        changed.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit):
            main()
    assert "note: held out, '" in told[0]
    assert "which is trained on: the gain told may be too good" in told[0]
    noted: list[str] = []
    outcome = finetune([folder], Wish(start, iterations=10, keep=True, options=DARK), tmp_path / "kept", note=noted.append)
    assert outcome.weights is not None
    assert noted[0].removeprefix("held out") in load_model(tmp_path / "kept").card["training"]


def test_the_command_shows_what_it_found(samples: Path, start: str, tmp_path: Path, capsys, monkeypatch) -> None:
    def run(name: str, *options: str) -> int:
        monkeypatch.setattr(sys, "argv", [*arguments, "-o", str(tmp_path / name), *options])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code

    scores = {"better": (20, 10, 30), "below bicubic": (20, 10, 15), "worse": (20, 30, 25)}
    arguments = ["esc-sr", "finetune", str(samples), "--init", start, "--minutes", "0.02"]
    monkeypatch.setattr(module.HeldOut, "scores", lambda *_: [HeldOutScore("a.png", *scores[case])])
    case = "better"
    assert run("better") == 0
    told = capsys.readouterr()
    assert told.out.split("\n")[0].split() == ["held-out", "image", "bicubic", "before", "after"]
    assert told.out.split("\n")[2].split() == ["mean", "20.00", "10.00", "30.00"]
    assert (tmp_path / "better" / "better.safetensors").is_file()
    assert told.err == ""
    case = "below bicubic"
    assert run("below") == 1
    told = capsys.readouterr().err
    assert "bicubic interpolation is still better: 20.00 dB, the model 15.00; nothing was written. " in told
    assert "More --minutes, more images or another --kind may help; --keep writes it all the same." in told
    assert run("kept", "--keep") == 0
    assert "bicubic interpolation is still better: " in capsys.readouterr().err
    assert (tmp_path / "kept" / "kept.safetensors").is_file()
    case = "worse"
    assert run("worse", "--keep") == 1
    told = capsys.readouterr().err
    assert "it is no better than before: 25.00 dB, before 30.00; nothing was written. " in told
    assert "--keep" not in told
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "start", "better", "kept"}
