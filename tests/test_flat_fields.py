"""Nothing invented: models for microscopy keep an even light even, and its mean."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from esc_plugin import Upscaler, list_models
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.catalog.purposes import MICROSCOPY, akin
from esc_plugin.errors import EscError
from esc_plugin.measure.flat import BIAS, WHITE, Field, Findings, compared, fine_power, measure

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
#: Few photons and many, dark and bright; as part of a picture (8 bits) and alone.
FIELDS = (Field(0.1, 30), Field(0.9, 100), Field(0.5, 1000), Field(0.9, 10_000), Field(0.1, 100, 16), Field(0.9, 30, 16))
MICROSCOPES = [entry for entry in list_models() if entry.bundled and akin(entry.purpose, MICROSCOPY)]
NOISY = Field(0.5, 100)


@pytest.mark.parametrize("entry", MICROSCOPES, ids=lambda entry: entry.name)
def test_models_for_microscopy_invent_nothing(entry) -> None:  # type: ignore[no-untyped-def]
    upscaler = Upscaler(entry.name, device="cpu", precision="float32")
    colours = () if entry.purpose == "fluorescence" else (Field(0.5, 100, samples=3), Field(0.9, 1000, samples=3))
    found = [measure(upscaler, field, 128) for field in (*FIELDS, *colours)]
    assert [str(one) for one in found if one.invents] == []
    # The mean is kept to 0.1 % of white in most fields; docs/models.md tells the worst of many more than these.
    assert [str(one) for one in found if abs(one.bias) >= 1.5 * BIAS] == []


def found_in(change: float | np.ndarray = 0, contrast: float = 1, field: Field = NOISY) -> Findings:
    """Return what is said of a result that is bicubic's but for its contrast and what is added."""
    image, cut = field.recorded(96)
    bicubic = imresize(image, (192, 192)).astype(float)
    made = bicubic.mean() + contrast * (bicubic - bicubic.mean()) + change
    return compared(image, np.rint(made).clip(0, WHITE).astype(np.uint16), field, cut)


def test_bicubic_interpolation_is_the_measure() -> None:
    found = found_in()
    assert found == Findings(NOISY, 1, 1, pytest.approx(0, abs=1e-4))
    assert found.holds


@pytest.mark.parametrize("samples", [1, 3])
def test_contrast_is_a_share_of_bicubics(samples: int) -> None:
    field = Field(0.5, 1000, 8, samples)
    flatter, sharper = (found_in(contrast=contrast, field=field) for contrast in (0.5, 1.1))
    assert (flatter.deviation, flatter.power) == pytest.approx((0.5, 0.25), rel=1e-3)
    assert (sharper.deviation, sharper.power) == pytest.approx((1.1, 1.21), rel=1e-3)
    assert flatter.holds
    assert not sharper.holds


def test_an_invented_pattern_is_seen_where_the_deviation_is_not() -> None:
    """Half the noise, and a chessboard that hardly counts in the deviation but lies beyond the small image's frequencies."""
    board = 0.02 * WHITE * (-1.0) ** np.add.outer(np.arange(192), np.arange(192))
    found = found_in(board, contrast=0.5)
    assert found.deviation < 1 < found.power
    assert not found.holds


def test_power_is_that_beyond_the_small_images_frequencies() -> None:
    x = np.arange(128)
    waves = {f: np.tile(np.sin(2 * np.pi * f * x), (128, 1)) for f in (0.1, 0.2, 0.3)}
    for scale, fine in ((2, {0.3}), (4, {0.2, 0.3})):
        power = {f: fine_power(wave[..., None], scale) for f, wave in waves.items()}
        assert min(power[f] for f in fine) > 1e4 * max(power[f] for f in waves if f not in fine)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_mean_that_moves_is_a_bias(sign: int) -> None:
    assert found_in(sign * 0.8 * BIAS * WHITE).holds
    found = found_in(sign * 1.2 * BIAS * WHITE)
    assert found.bias == pytest.approx(sign * 1.2 * BIAS, rel=0.05)
    assert not found.holds


def test_what_was_cut_off_at_white_may_be_mended() -> None:
    field = Field(0.9, 30)
    image, cut = field.recorded()
    assert image.mean() / WHITE + cut == pytest.approx(0.9, abs=0.003)
    assert cut > 20 * BIAS
    means = {
        share: compared(image, _even(image.mean() + share * cut * WHITE), field, cut).bias for share in (-0.2, 0.5, 1.2)
    }
    assert means == pytest.approx({-0.2: -0.2 * cut, 0.5: 0, 1.2: 0.2 * cut}, abs=1e-4)
    assert Field(0.1, 100).recorded()[1] == 0


def _even(value: float) -> np.ndarray:
    return np.full((384, 384), round(value), np.uint16)


@pytest.mark.parametrize("field", [Field(0.5, 100), Field(0.9, 1000, 16), Field(0.1, 30, 8, 3)], ids=str)
def test_a_field_is_an_even_light_with_photon_noise(field: Field) -> None:
    image, _ = field.recorded()
    assert image.shape == ((192, 192) if field.samples == 1 else (192, 192, 3))
    assert np.array_equal(image, field.recorded()[0])
    if field.bits == 8:
        assert not (image % 257).any()
    unit = image.astype(float) / WHITE
    assert unit.mean() == pytest.approx(field.level, rel=0.02)
    assert unit.var() == pytest.approx(field.level / field.photons, rel=0.06)
    planes = unit.reshape(-1, field.samples).T
    assert np.abs(np.corrcoef(planes) - np.eye(field.samples)).max() < 0.03


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks aren't in this copy")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "flat", raising=False)
    import flat  # type: ignore[import-not-found]

    return flat


def test_the_worst_of_each_figure_stands_in_the_table(script: ModuleType) -> None:
    found = [Findings(Field(0.1, 30), 0.4, 0.9, -0.0004), Findings(Field(0.9, 10_000, 16), 0.5, 0.2, 0.0003)]
    assert script.row("cells-x2", "fluorescence", found) == (
        "| cells-x2 | fluorescence | 0.50 (0.9, 10,000 photons, 16 bits) | 0.90 (0.1, 30 photons, 8 bits) "
        "| -0.040 (0.1, 30 photons, 8 bits) | yes |"
    )
    assert script.row("photo-x2", "photo", [Findings(NOISY, 1.01, 1, 0)]).endswith(" **no** |")


def test_the_page_keeps_its_other_tables(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "models.md"
    before = script.PAGE.read_text(encoding="utf-8")
    page.write_text(before, encoding="utf-8")
    monkeypatch.setattr(script, "PAGE", page)
    monkeypatch.setattr(script, "fields_for", lambda purpose: [NOISY])
    monkeypatch.setattr(script, "measure", lambda upscaler, field: Findings(field, 0.123, 0.456, 0.00789))
    name = script.bundled()[0].name
    monkeypatch.setattr(sys, "argv", ["flat.py", name])
    script.main()
    assert page.read_text(encoding="utf-8") == before
    assert "0.123 | 0.456 | +0.789" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["flat.py"])
    script.main()
    after = page.read_text(encoding="utf-8")
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line.split(" | ")[0] for line in changed] == [f"| {entry.name}" for entry in script.bundled()]
    assert set(before.splitlines()) - set(after.splitlines()) == {
        line for line in before.splitlines() if line.endswith(("bits) | yes |", "bits) | **no** |"))
    }
    page.write_text("# A page", encoding="utf-8")
    with pytest.raises(EscError, match=r"flat\.py"):
        script.main()
