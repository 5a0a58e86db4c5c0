"""Fine-tuning on a few images: what is held out, what is measured, what is written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from scipy import ndimage

from esc_plugin.cli import app
from esc_plugin.errors import EscError
from esc_plugin.network import ESC
from esc_plugin.train import finetune as module
from esc_plugin.train.finetune import Wish, finetune, split
from esc_plugin.train.held_out import HeldOut, mean
from esc_plugin.train.images import open_images
from esc_plugin.train.measure import bicubic
from esc_plugin.train.pairs import make_maker
from esc_plugin.weights.load import load_model
from esc_plugin.weights.model import Model

from .small import nearest_upscaler, small_config, stop_at


def spots(seed: int, size: int = 80) -> np.ndarray:
    """Return fluorescent spots (size, size), 8-bit."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size, size))
    image[rng.integers(0, size, 40), rng.integers(0, size, 40)] = rng.random(40)
    image = ndimage.gaussian_filter(image, 1.5)
    return (10 + 200 * image / image.max()).astype(np.uint8)


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
    outcome = finetune([samples], Wish(start, iterations=20), tmp_path / "spots-x2")
    found = mean(outcome.scores)
    assert found.after > found.before + 1
    assert outcome.weights == tmp_path / "spots-x2" / "spots-x2.safetensors"
    assert (outcome.iterations, outcome.interrupted, len(outcome.scores)) == (20, False, 1)
    made = load_model(outcome.weights)
    assert made.card["purpose"] == "microscopy"
    assert made.card["license"] == "MIT"
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
    outcome = finetune(sorted(tmp_path.glob("*.tif")), Wish(start, kind, iterations=10), tmp_path / "better")
    assert mean(outcome.scores).after > mean(outcome.scores).before
    assert load_model(tmp_path / "better").card["purpose"] == ("microscopy" if kind == "microscopy" else "clean photo")


def test_a_model_that_got_no_better_is_not_written(samples: Path, start: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_averaged", lambda checkpoint, model: (model.network, 2))
    outcome = finetune([samples], Wish(start, iterations=2), tmp_path / "same")
    assert outcome.weights is None
    assert mean(outcome.scores).after == mean(outcome.scores).before
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "start"}


def test_a_stopped_one_keeps_what_it_learned(samples: Path, start: str, tmp_path: Path, monkeypatch) -> None:
    stop_at(10, monkeypatch)
    outcome = finetune([samples], Wish(start, iterations=500), tmp_path / "stopped")
    assert (outcome.iterations, outcome.interrupted) == (10, True)
    assert outcome.weights is not None
    assert mean(outcome.scores).after > mean(outcome.scores).before


def test_what_is_measured_is_never_trained_on(samples: Path, start: str, tmp_path: Path, monkeypatch) -> None:
    seen = []

    def spy(recipe, *_, **__) -> None:
        seen.extend(Path(folder).name for folder in recipe.data.folders)
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
    first, last = tifffile.imread(seen[0]), tifffile.imread(unseen[0])
    plane = image[0] if shape[0] == 3 else image
    axis = int(plane.shape[1] > plane.shape[0])
    assert (first.shape[axis], last.shape[axis]) == (60, 20)
    if dtype == np.uint8:
        assert np.array_equal(np.concatenate([first, last], axis), plane)


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
    assert held_out.measure(nearest_upscaler().network) == [pytest.approx(expected, abs=1e-4)]
    again = HeldOut(images, maker, torch.device("cpu"))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(held_out.pairs, again.pairs, strict=True))


def test_bicubic_is_that_of_the_field(tmp_path: Path) -> None:
    """Keys' kernel with a = -0.5, as in Pillow, not torch's -0.75."""
    low = spots(2, 24)
    found = bicubic(torch.from_numpy(low)[None] / 255, (48, 48))
    expected = np.asarray(Image.fromarray(low.astype(np.float32), "F").resize((48, 48), Image.Resampling.BICUBIC)) / 255
    assert np.allclose(found[0].numpy(), expected.clip(0, 1), atol=2e-4)


def test_what_can_not_be_is_refused_before_work_starts(samples: Path, start: str, tmp_path: Path) -> None:
    with pytest.raises(EscError, match="kind must be one of microscopy, photo, not 'telescope'"):
        Wish(start, kind="telescope")
    with pytest.raises(EscError, match="minutes must be above 0, not -1"):
        Wish(start, minutes=-1)
    with pytest.raises(EscError, match="there is no folder"):
        finetune([tmp_path / "nowhere"], Wish(start), tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(EscError, match="can't write into"):
        finetune([samples], Wish(start), tmp_path / "file" / "out")
    with pytest.raises(EscError, match="photons"):
        finetune([samples], Wish(start, options={"photons": [5, 1]}), tmp_path / "out")
    Image.fromarray(spots(0, 40)).save(tmp_path / "tiny.png")
    with pytest.raises(EscError, match=r"'tiny-0-0\.tif' leaves 10 x 40 pixels; 32 x 32 are the least"):
        finetune([tmp_path / "tiny.png"], Wish(start), tmp_path / "out")
    with pytest.raises(EscError, match="is there already"):
        finetune([samples], Wish(start), Path(start).parent)
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "start", "tiny.png", "file"}


def test_the_command_shows_what_it_found(samples: Path, start: str, tmp_path: Path, capsys, monkeypatch) -> None:
    arguments = ["finetune", str(samples), "--init", start, "--minutes", "0.02", "--set", "photons=[50,100]"]
    app([*arguments, "-o", str(tmp_path / "mine-x2")], standalone_mode=False)
    told = capsys.readouterr().out
    assert "held-out image" in told
    assert "mean" in told
    assert (tmp_path / "mine-x2" / "mine-x2.safetensors").is_file()
    monkeypatch.setattr(module, "_averaged", lambda checkpoint, model: (model.network, 2))
    with pytest.raises(EscError, match=r"it is no better than .*: nothing was written"):
        app([*arguments, "-o", str(tmp_path / "other-x2")], standalone_mode=False)
    assert not (tmp_path / "other-x2" / "other-x2.safetensors").exists()
