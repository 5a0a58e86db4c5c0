"""Looking inside: measures against their definitions, and reports that open."""

from __future__ import annotations

import base64
import io
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from esc_plugin import Cancelled, EscError, Model, cli
from esc_plugin.arrays.filters import gaussian_blur
from esc_plugin.inspection import study, write_report
from esc_plugin.inspection.attribution import RADIUS, Attribution, attribute, edges_in, gini
from esc_plugin.inspection.record import recording
from esc_plugin.inspection.similarity import linear_cka, similarity_matrix
from esc_plugin.inspection.study import Study, busiest
from esc_plugin.network import ESC, EscConfig
from esc_plugin.network.grid import Region
from esc_plugin.network.program import Chunk

from .small import small_config

SMALL = replace(small_config(), n_blocks=2, conv_blocks=2)
CONFIGS = {
    "classic": SMALL,
    "ESC-FP": replace(SMALL, head="bicubic", large_kernel="separable", conv_norms=True, last_norm=True),
    "ESC-RIB": replace(SMALL, position="rib", position_rank=4, rib_hidden=6, rib_freqs=2),
    "DySample, unshuffle": replace(
        SMALL, head="uni", uni_method="dysample", uni_version=3, mid_dim=16, dysample_kernel=1, unshuffle=2
    ),
    "LTE": replace(small_config(head="lte"), n_blocks=2, conv_blocks=2),
}
PHOTO = np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)


def random_model(config: EscConfig, name: str = "random") -> Model:
    return Model(ESC(config).eval().requires_grad_(False), config, name, "test", "")


@pytest.fixture(scope="module")
def looked() -> Study:
    torch.manual_seed(0)
    return study(random_model(SMALL), PHOTO, at=(20, 12), patch=6, crop=16, steps=3)


# Similarity


def gram_cka(x: Tensor, y: Tensor) -> float:
    """The definition: HSIC of centred Gram matrices, normalised."""
    n = len(x)
    centre = torch.eye(n, dtype=torch.float64) - 1 / n
    k, m = (centre @ (f.double() @ f.double().T) @ centre for f in (x, y))
    return float((k * m).sum() / ((k * k).sum() * (m * m).sum()).sqrt())


@settings(max_examples=25)
@given(st.integers(3, 40), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
def test_cka_is_its_definition(n: int, c: int, d: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    x, y = torch.randn(n, c, generator=random), torch.randn(n, d, generator=random) + 3
    assert linear_cka(x, y) == pytest.approx(gram_cka(x, y), abs=1e-6)


@settings(max_examples=25)
@given(st.integers(8, 40), st.integers(2, 6), st.floats(0.01, 100), st.integers(0, 2**31))
def test_cka_ignores_rotation_scale_and_shift_alone(n: int, c: int, scale: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    x, y, mix = (torch.randn(size, generator=random) for size in ((n, c), (n, c), (c, c)))
    rotation = torch.linalg.qr(mix).Q
    assert linear_cka(x, x) == pytest.approx(1)
    assert linear_cka(x, scale * x @ rotation + 5) == pytest.approx(1, abs=1e-5)
    assert linear_cka(scale * x @ rotation - 1, y) == pytest.approx(linear_cka(x, y), abs=1e-5)
    stretched = x * torch.tensor([1.0, 10.0] + [1.0] * (c - 2))  # not isotropic
    assert linear_cka(x, stretched) < 0.999


def test_cka_of_constant_features_is_zero() -> None:
    assert linear_cka(torch.ones(5, 2), torch.rand(5, 3)) == 0


def test_the_matrix_is_symmetric_with_ones() -> None:
    matrix = similarity_matrix([torch.randn(30, 4) for _ in range(4)])
    assert torch.allclose(matrix, matrix.T)
    assert torch.allclose(matrix.diagonal(), torch.ones(4, dtype=torch.float64))
    assert matrix.min() >= 0
    assert matrix.max() <= 1 + 1e-9


# Attribution


def test_a_convolution_depends_on_its_receptive_field_and_nothing_else() -> None:
    weight = torch.randn(3, 3, 3, 3)
    patch = Region(8, 10, 11, 14)
    found = attribute(lambda x: F.conv2d(x, weight, padding=1), edges_in(patch), torch.rand(1, 3, 20, 24), 5)
    inside = torch.zeros(20, 24, dtype=torch.bool)
    inside[7:13, 9:16] = True  # one for the kernel, and one more below and right: the detector compares with the next pixel
    assert (found.signed[~inside] == 0).all()
    # A gradient at the lower right corner of the patch never looks at the pixel below and right of it.
    assert (found.signed[inside] != 0).sum() >= inside.sum() - 1


def test_attributions_add_up_to_the_change() -> None:
    weight = torch.randn(4, 3, 5, 5) * 0.3
    image = torch.rand(1, 3, 16, 16)

    def function(x: Tensor) -> Tensor:
        return torch.tanh(F.conv2d(x, weight, padding=2))

    found = attribute(function, edges_in(Region(4, 4, 12, 12)), image, 100)
    assert abs(found.end - found.start) > 1
    assert float(found.signed.sum()) == pytest.approx(found.end - found.start, rel=2e-3)
    linear = attribute(lambda x: F.conv2d(x, weight), lambda y: y[..., 2, 3].sum(), image, 2)
    assert float(linear.signed.sum()) == pytest.approx(linear.end - linear.start, abs=1e-5)


def test_of_a_network_too() -> None:
    network = random_model(SMALL).network
    image = torch.rand(1, 3, 16, 16)
    found = attribute(network, edges_in(Region(10, 10, 20, 20)), image, 25)
    assert float(found.signed.sum()) == pytest.approx(found.end - found.start, rel=2e-2)
    # The dynamic kernels average over the image: every pixel counts a little.
    assert (found.signed != 0).float().mean() > 0.9


def test_the_detector_is_the_sum_of_gradient_magnitudes() -> None:
    image = torch.rand(1, 2, 6, 7)
    expected = 0.0
    for c in range(2):
        for y in range(1, 4):
            for x in range(2, 6):
                down, right = image[0, c, y + 1, x] - image[0, c, y, x], image[0, c, y, x + 1] - image[0, c, y, x]
                expected += float((down**2 + right**2).sqrt())
    assert float(edges_in(Region(1, 2, 4, 6))(image)) == pytest.approx(expected, rel=1e-5)
    flat = torch.zeros(1, 1, 5, 5, requires_grad=True)
    edges_in(Region(0, 0, 4, 4))(flat).backward()
    assert torch.isfinite(flat.grad).all()


def test_the_blur_is_a_gaussian() -> None:
    image = torch.rand(2, 3, 3, 17)
    assert torch.equal(gaussian_blur(image, 0, RADIUS), image)
    assert torch.allclose(gaussian_blur(torch.full((1, 1, 2, 5), 0.3), 1.2, RADIUS), torch.tensor(0.3))
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    steps = np.arange(-4, 5)
    bell = np.exp(-(steps**2) / (2 * 1.2**2))
    assert np.allclose(
        gaussian_blur(point, 1.2, RADIUS)[0, 0, 6:15, 6:15], np.outer(bell, bell) / bell.sum() ** 2, atol=1e-6
    )


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_gini_by_its_definition(values: list[float]) -> None:
    a = np.array(values)
    expected = np.abs(a[:, None] - a[None]).sum() / (2 * len(a) * a.sum()) if a.sum() > 1e-9 else None
    found = gini(torch.tensor(values, dtype=torch.float64))
    assert expected is None or found == pytest.approx(expected, abs=1e-9)


def test_how_far_it_reaches() -> None:
    alone = torch.zeros(9, 9)
    alone[4, 7] = -2.0
    found = Attribution(alone, 0, 0)
    assert found.radius(0.5, 4.5, 4.5) == pytest.approx(3)
    assert found.diffusion_index == pytest.approx(100 / 81)
    assert Attribution(torch.ones(9, 9), 0, 0).diffusion_index == pytest.approx(100)


def test_cancelled_between_steps() -> None:
    done: list[int] = []
    with pytest.raises(Cancelled):
        attribute(
            lambda x: x,
            lambda y: y.sum(),
            torch.rand(1, 3, 4, 4),
            9,
            lambda i, n: done.append(i),
            lambda: len(done) == 2,
        )
    assert done == [1, 2]


# Recording


def test_what_layers_add_is_recorded_and_no_hook_stays() -> None:
    network, image = random_model(SMALL).network, torch.rand(1, 3, 13, 18)
    with recording(network) as record:
        network(image)
    assert list(record.features) == ["1 attention", "1.1", "1.2", "2 attention", "2.1", "2.2"]
    assert list(record.dynamic) == ["1.1", "1.2", "2.1", "2.2"]
    assert not any(module._forward_hooks for module in network.modules())
    geometry = network.geometry(13, 18)
    maps = {"image": image}
    chunk, mean, added = Chunk(Region(0, 0, 13, 18), geometry, lambda name, halo: maps[name]), None, {}
    for step in network.program(geometry).steps:
        value = step.setup(mean) if step.setup else None
        out = step.apply(chunk, value, *(maps[name] for name in step.reads))
        added[step.name] = out - maps[step.writes] if step.writes in maps and out.shape == maps[step.writes].shape else None
        maps[step.writes] = out
        mean = out[:, : step.mean].float().mean((2, 3)) if step.mean else None
    for step_name, name in (("block 1/2 attention", "1 attention"), ("block 2/2 convolution 2/2", "2.2")):
        assert torch.allclose(record.features[name], added[step_name], atol=1e-5)


# The study


@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_of_network_can_be_studied(name: str) -> None:
    config = CONFIGS[name]
    found = study(random_model(config), PHOTO, patch=6, crop=16, steps=2)
    assert found.image.shape[-2:] == (found.crop.height, found.crop.width) == found.attribution.signed.shape
    assert found.output.shape[-1] == found.crop.width * config.scale
    assert found.similarity.shape == (6, 6)
    assert torch.isfinite(found.similarity).all()
    assert all(kernel.shape == (8, 3, 3) for kernel in found.dynamic.values())
    assert found.kernel.shape == found.symmetric.shape
    assert torch.allclose(found.symmetric, found.symmetric.flip(-1)) is (config.large_kernel == "full")
    assert 0 < found.attribution.diffusion_index < 100


def test_the_crop_starts_on_windows_and_holds_the_patch(looked: Study) -> None:
    assert (looked.crop.top % 8, looked.crop.left % 8) == (0, 0)  # windows are 8 pixels
    expected = torch.from_numpy(PHOTO).permute(2, 0, 1)[:, looked.crop.top : looked.crop.bottom] / 255
    assert torch.allclose(looked.image[0], expected[..., looked.crop.left : looked.crop.right])
    rows, columns = (looked.patch.top + looked.patch.bottom) / 2, (looked.patch.left + looked.patch.right) / 2
    assert abs(rows / 2 + looked.crop.top - 12.5) <= 0.5
    assert abs(columns / 2 + looked.crop.left - 20.5) <= 0.5


@settings(max_examples=12)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(8, 48), st.integers(1, 40), st.data())
def test_any_image_crop_and_patch_fit(height: int, width: int, crop: int, patch: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    found = study(
        random_model(small_config()), np.zeros((height, width), np.float32), at=at, patch=patch, crop=crop, steps=1
    )
    assert found.crop.left <= at[0] < found.crop.right
    assert found.crop.top <= at[1] < found.crop.bottom
    assert 0 <= found.patch.top < found.patch.bottom <= 2 * found.crop.height - 1
    assert 0 <= found.patch.left < found.patch.right <= 2 * found.crop.width - 1


def test_the_busiest_place_is_found() -> None:
    image = torch.zeros(1, 3, 40, 50)
    image[..., 20:24:2, 31:35] = 1
    column, row = busiest(image, 6)
    assert abs(column - 33) <= 2
    assert abs(row - 22) <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": (41, 3)}, "no pixel 41,3 in an image of 41 x 30"),
        ({"patch": 0}, "patch must be 1 or more"),
        ({"crop": 4}, "crop must be 8 or more"),
        ({"steps": 0}, "steps must be 1 or more"),
    ],
)
def test_impossible_wishes_are_refused(options: dict, message: str) -> None:
    with pytest.raises(EscError, match=message):
        study(random_model(SMALL), PHOTO, **options)


# The report


class Pictures(HTMLParser):
    """Collect the sources of pictures, and check that what opens closes."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(dict(attrs)["src"] or "")
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_opens_and_needs_no_other_file(looked: Study, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", looked, "<photo>.png")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    parser = Pictures()
    parser.feed(text)
    assert not parser.open
    assert "&lt;photo&gt;.png" in text
    assert "http" not in text
    assert len(parser.sources) == 4
    for source in parser.sources:
        assert source.startswith("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            assert np.asarray(image.convert("RGB")).std() > 5


def test_one_picture_and_fp_too(tmp_path: Path) -> None:
    found = study(random_model(CONFIGS["ESC-FP"]), PHOTO[..., 0], patch=6, crop=16, steps=2)
    write_report(tmp_path / "report.png", found)
    with Image.open(tmp_path / "report.png") as image:
        assert image.format == "PNG"
        assert image.height > image.width
    assert [path.name for path in tmp_path.iterdir()] == ["report.png"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("esc_plugin.cli.study.open_model", lambda name, **_: random_model(SMALL, name))
    monkeypatch.setattr(sys, "argv", ["esc-sr", "inspect", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return int(done.value.code or 0)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray(PHOTO).save(source)
    options = ("--at", "20,12", "--crop", 16, "--steps", 1)
    assert run(monkeypatch, "mine", source, "-o", target, *options) == 0
    assert target.is_file()
    for wrong, message in ((("-o", tmp_path / "a.pdf"), ".html or .png"), (("--at", "20"), "write X,Y")):
        assert run(monkeypatch, "mine", source, *wrong) == 1
        assert message in capsys.readouterr().err.replace("\n", " ")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(monkeypatch, "mine", source, "-o", target) == 1
    assert "pip install matplotlib" in capsys.readouterr().err.replace("\n", " ")
