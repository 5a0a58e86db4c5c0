"""Blended results of files: the command line from outside, masks as files, stores, and what records say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from esc_plugin import ImageError, Upscaler
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job
from esc_plugin.batch.mask import read_mask
from esc_plugin.cluster.fill import upscale_large
from esc_plugin.cluster.large import Large
from esc_plugin.files import read_picture, read_provenance
from esc_plugin.mixture import Mixture
from esc_plugin.session.task import Settings, Task
from esc_plugin.session.work import lazy, run

from .commands import run_commands
from .small import random_upscaler


def saved(path: Path, values: Any, dtype: Any = np.uint8) -> Path:
    Image.fromarray(np.asarray(values, dtype)).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return saved(tmp_path / "photo.png", np.random.default_rng(0).integers(90, 160, (40, 50, 3)))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    values = np.zeros((40, 50))
    values[:, 25:] = 255
    return saved(tmp_path / "mask.png", values)


def test_the_command_line_from_outside(tmp_path: Path, photo: Path, mask: Path) -> None:
    common = ["--precision", "float32"]
    survey, out = tmp_path / "s.json", ["upscale", photo, *common, "-o"]
    done = run_commands(
        [*out, tmp_path / "plain.png"],
        [*out, tmp_path / "none.png", "--strength", "0"],
        [*out, tmp_path / "half.png", "--strength", "0.5", "-v"],
        [*out, tmp_path / "masked.png", "--mask", mask],
        ["survey", photo, *common, "-o", survey],
        [*out, tmp_path / "part.png", "--strength", "0.5", "--mask", mask, "--survey", survey, "--region", "10:70,40:90"],
        [*out, tmp_path / "both.png", "--strength", "0.5", "--mask", mask],
        [*out, tmp_path / "no.png", "--strength", "1.5"],
        [*out, tmp_path / "no.png", "--mask", tmp_path / "nothing.png"],
        [*out, tmp_path / "no.png", "--mask", photo],
        [*out, mask, "--mask", mask, "--overwrite"],
    )
    assert [code for code, _ in done[:7]] == [0] * 7, done
    plain, none, half, masked, both = (
        pixels(tmp_path / f"{name}.png") for name in ("plain", "none", "half", "masked", "both")
    )
    np.testing.assert_allclose(half, (plain.astype(float) + none) / 2, atol=1.01)
    np.testing.assert_array_equal(masked[:, 60:], plain[:, 60:])
    np.testing.assert_array_equal(masked[:, :40], none[:, :40])
    np.testing.assert_array_equal(pixels(tmp_path / "part.png"), both[10:70, 40:90])
    record = read_provenance(tmp_path / "both.png")
    assert (record["strength"], record["mask"]) == (0.5, "mask.png")
    assert "strength 0.5" in done[2][1]
    said = " ".join(text for _, text in done[7:])
    assert [bool(code) for code, _ in done[7:]] == [True] * 4
    for told in (
        "--strength must be from 0 to 1",
        "nothing.png",
        "it has colours; save it as gray",
        "the same run reads that file itself",
    ):
        assert told in " ".join(said.split()), said
    assert not (tmp_path / "no.png").exists()
    assert pixels(mask).shape == (40, 50)


def test_a_store_is_blended_and_not_gone_on_with_by_others(tmp_path: Path, photo: Path, mask: Path) -> None:
    zarr = pytest.importorskip("zarr")
    upscaler, options = random_upscaler(), {"strength": 0.5}

    def large(**changes: Any) -> Large:
        own = {"options": dict(options), "mask": read_mask(mask)} | changes
        return Large(upscaler, read_picture(photo), str(tmp_path / "b.ome.zarr"), name="photo.png", **own)

    survey = upscaler.survey(pixels(photo), axes="YXS", scale=2)
    upscale_large(large(), survey, part=(1, 2))
    for changes in ({"options": {"strength": 0.6}}, {"mask": None}):
        with pytest.raises(ImageError):
            upscale_large(large(**changes), survey, part=(2, 2))
    upscale_large(large(), survey)
    record = read_provenance(tmp_path / "b.ome.zarr")
    assert (record["strength"], record["mask"]) == (0.5, "mask.png")
    whole = upscaler(pixels(photo), strength=0.5, mask=pixels(mask))
    np.testing.assert_array_equal(np.moveaxis(zarr.open(tmp_path / "b.ome.zarr")["0"][:], 0, -1), whole)


def test_two_models_from_the_command_line(tmp_path: Path, photo: Path) -> None:
    common, survey = ["--precision", "float32", "-s", "2"], tmp_path / "s.json"
    out = ["upscale", photo, *common, "-o"]
    mixed = ["--model", "esc-nano-x2", "--blend", "esc-nano-x4", "--blend-share", "0.25"]
    done = run_commands(
        [*out, tmp_path / "one.png", "-m", "esc-nano-x2"],
        [*out, tmp_path / "other.png", "-m", "esc-nano-x4"],
        [*out, tmp_path / "both.png", *mixed],
        [*out, f"{tmp_path}/{{stem}}_{{model}}.png", *mixed],
        ["survey", photo, *common, *mixed[:4], "-o", survey],
        [*out, tmp_path / "part.png", *mixed, "--survey", survey, "--region", "10:70,40:90"],
        ["upscale", photo, "--plan", *mixed],
        [*out, tmp_path / "no.png", "--survey", survey],
        [*out, tmp_path / "no.png", *mixed[:4], "--blend-share", "2"],
        [*out, tmp_path / "no.png", "--blend", "no-such-model"],
    )
    assert [code for code, _ in done[:7]] == [0] * 7, done
    one, other, both = (pixels(tmp_path / f"{name}.png") for name in ("one", "other", "both"))
    np.testing.assert_allclose(both, 0.75 * one + 0.25 * other, atol=1.01)
    np.testing.assert_array_equal(pixels(tmp_path / "part.png"), both[10:70, 40:90])
    name = "0.75 esc-nano-x2 + 0.25 esc-nano-x4"
    np.testing.assert_array_equal(pixels(tmp_path / f"photo_{name}.png"), both)
    assert read_provenance(tmp_path / "both.png")["model"] == name
    assert [bool(code) for code, _ in done[7:]] == [True] * 3
    assert "name the models with --model and --blend" in " ".join(done[7][1].split())
    assert "--blend-share must be from 0 to 1" in done[8][1]
    assert "no-such-model" in done[9][1]
    assert not (tmp_path / "no.png").exists()


def test_a_mask_file_is_gray(tmp_path: Path, mask: Path) -> None:
    values = pixels(mask)
    gray, deep = np.repeat(values[..., None], 3, 2), values * np.uint16(257)
    opaque = np.dstack([gray, np.full_like(values, 255)])
    for name, content in (("rgb", gray), ("rgba", opaque)):
        np.testing.assert_array_equal(read_mask(saved(tmp_path / f"{name}.png", content)).values, values)
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "deep.png", deep, np.uint16)).values, deep)
    with pytest.raises(ImageError, match=r"the mask '.*seen.png': it has transparency"):
        read_mask(saved(tmp_path / "seen.png", np.dstack([gray, values])))


def test_a_mask_that_is_a_folder_is_named_as_it_was_given() -> None:
    with pytest.raises(ImageError, match=r"the mask '\.': "):
        read_mask(Path())


def test_a_mask_of_other_proportions_is_an_error_of_the_image(tmp_path: Path, photo: Path) -> None:
    wide = read_mask(saved(tmp_path / "wide.png", np.zeros((20, 50))))
    job = Job(photo, tmp_path / "out" / "no.png")
    failed = Batch(random_upscaler(), mask=wide).run([job]).failed
    assert "the mask is 50 x 20" in failed[0][1]
    assert "50 x 40" in failed[0][1]
    assert not job.target.parent.exists()  # type: ignore[union-attr]
    with pytest.raises(ImageError, match="without a region"):
        Batch(random_upscaler(), isotropic=True, mask=wide)


def test_settings_of_a_session_have_a_strength() -> None:
    image = np.random.default_rng(1).random((40, 30)).astype(np.float32)
    wanted = Upscaler("esc-nano-x2", device="cpu")(image, axes="YX", strength=0.25, nan="keep")
    settings = Settings("esc-nano-x2", (2, 2), device="cpu", strength=0.25)
    result = run(Task([image], "YX", (slice(0, 40), slice(0, 30)), settings))
    np.testing.assert_array_equal(result.data, wanted)
    assert result.record["strength"] == 0.25
    part = run(Task([image], "YX", (slice(5, 40), slice(0, 20)), settings))
    np.testing.assert_array_equal(part.data, wanted[10:, :40])
    whole = lazy(Task([image], "YX", (slice(0, 40), slice(0, 30)), settings)).data
    finest = whole[0] if isinstance(whole, list) else whole
    np.testing.assert_array_equal(np.asarray(finest), wanted)


def test_a_record_names_no_pass_that_did_not_run() -> None:
    upscaler, image = random_upscaler(), np.zeros((20, 26, 3), np.uint8)
    for both in (upscaler, Mixture(upscaler, random_upscaler())):
        told = both.steps(both.request(image, strength=0, passes=3))
        assert told["passes"] == 0
        assert set(told["steps"].split("; ")) == {"0 passes, then Lanczos x2"}


def test_a_share_of_no_model_says_so(photo: Path) -> None:
    [(code, said)] = run_commands(["upscale", photo, "--blend-share", "0.3"])
    assert code == 1
    assert "name it with --blend" in said
