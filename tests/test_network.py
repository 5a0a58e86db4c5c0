"""The network against the trainers' own vectors, an independent oracle, and its own symmetries."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin.network import ESC, EscConfig, released
from esc_plugin.network.conv_attention import d4_mean
from esc_plugin.network.layers import reflect_pad
from esc_plugin.weights.model import Model, read_model

from .golden import Golden, golden_cases
from .oracle import esc_forward

GOLDEN = golden_cases()
TINY = EscConfig(dim=12, pdim=4, n_blocks=2, conv_blocks=2, window_size=6, num_heads=3, proj_hidden=18, conv_hidden=15)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, in standard deviations of what was expected."""
    assert found.shape == expected.shape
    return float((found - expected).detach().abs().max() / expected.detach().std())


def output_size(model: Model, expected: torch.Tensor) -> tuple[int, int] | None:
    return (expected.shape[2], expected.shape[3]) if model.any_scale else None


def load(case: Golden) -> Model:
    return read_model(case.path, window_size=case.window_size)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_golden_vectors(shared, case: Golden) -> None:
    model = load(case)
    for image, expected in case.pairs():
        before = image.clone()
        found = model.network(image, output_size(model, expected))
        assert relative_error(found, expected) < 1e-4
        assert torch.equal(image, before)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_a_batch_of_different_images_is_each_alone(shared, case: Golden) -> None:
    network = load(case).network
    batch = torch.rand(3, 3, 13, 21) * torch.tensor([0.2, 1.0, 0.6]).view(3, 1, 1, 1)
    alone = torch.cat([network(image[None]) for image in batch])
    assert relative_error(network(batch), alone) < 1e-4
    channels_last = network.to(memory_format=torch.channels_last)(batch.to(memory_format=torch.channels_last))
    assert relative_error(channels_last, alone) < 1e-4


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_detected_configuration_is_the_stated_one(shared, case: Golden) -> None:
    found, stated = load(case).config, case.stated()
    for name in ("dim", "pdim", "kernel_size", "n_blocks", "conv_blocks", "window_size", "num_heads"):
        assert getattr(found, name) == stated[name], name
    assert found.conv_hidden == int(stated["dim"] * stated["exp_ratio"])
    assert found.scale == stated.get("upscaling_factor", stated.get("scale", found.scale))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("ESC", {2: 946_728, 3: 955_383, 4: 967_500}),
        ("ESC-lt", {2: 603_600, 3: 612_255, 4: 624_372}),
        ("ESC-FP", {2: 523_675, 3: 530_170, 4: 539_263}),
        ("ESC-Real", {4: 2_265_307}),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, counts: dict[int, int]) -> None:
    for scale, count in counts.items():
        with torch.device("meta"):
            assert sum(p.numel() for p in ESC(released(name, scale)).parameters()) == count


@settings(max_examples=15)
@given(st.integers(6, 40), st.integers(6, 40), st.integers(1, 3), st.sampled_from([2, 3, 4]), st.booleans())
def test_equals_the_plain_reading_of_the_paper(height: int, width: int, batch: int, scale: int, norms: bool) -> None:
    config = EscConfig(**{**TINY.__dict__, "scale": scale, "conv_norms": norms})
    network = ESC(config).eval().requires_grad_(False)
    image = torch.rand(batch, 3, height, width)
    expected = esc_forward(network.state_dict(), image, scale=scale, window=6, heads=3)
    assert relative_error(network(image), expected) < 1e-4


def test_training_and_evaluation_compute_the_same_and_follow_the_weights() -> None:
    network, image = ESC(TINY), torch.rand(2, 3, 11, 9)
    trained = network(image)
    trained.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    assert relative_error(network.eval()(image), trained.detach()) < 1e-5
    with torch.no_grad():
        other = ESC(TINY)
        network.load_state_dict(other.state_dict())
        assert relative_error(network(image), other.eval()(image)) < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (17, 33), (2, 1), (40, 5)])
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_any_size_from_one_pixel_on(shared, case: Golden, size: tuple[int, int]) -> None:
    model = load(case)
    out = model.network(torch.rand(1, 3, *size))
    assert out.shape == (1, 3, size[0] * model.scale, size[1] * model.scale)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_and_its_means_do_not_overflow(dtype: torch.dtype) -> None:
    network = ESC(TINY).eval().requires_grad_(False)
    with torch.no_grad():
        network.proj.bias += 30  # a sum of 90,000 such values is far beyond float16
    image = torch.rand(1, 3, 300, 300)
    expected = network(image)
    found = network.to(dtype)(image)
    assert float((found - expected).square().mean().sqrt() / expected.std()) < 2e-2


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.tuples(*[st.integers(0, 30)] * 4))
def test_reflection_goes_back_and_forth(height: int, width: int, pads: tuple[int, int, int, int]) -> None:
    left, right, top, bottom = pads
    x = torch.rand(1, 2, height, width)
    expected = x[:, :, bounced(height, top, bottom)][..., bounced(width, left, right)]
    assert torch.equal(reflect_pad(x, left, right, top, bottom), expected)


def bounced(size: int, before: int, after: int) -> list[int]:
    """Return where one is who turns round at each end. NumPy before 2 pads otherwise when it reflects more than once."""
    forth = [*range(size), *range(size - 2, 0, -1)]
    return [forth[place % len(forth)] for place in range(-before, size + after)]


def test_the_mean_over_d4_is_symmetric() -> None:
    kernel = d4_mean(torch.rand(3, 2, 5, 5))
    for other in (kernel.flip(-1), kernel.flip(-2), kernel.transpose(-1, -2), torch.rot90(kernel, 1, (-2, -1))):
        assert torch.allclose(kernel, other, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": 10, "num_heads": 4}, "num_heads"),
        ({"pdim": 100}, "pdim"),
        ({"kernel_size": 4}, "kernel_size"),
        ({"head": "magic"}, "head='magic' is not one of bicubic, classic"),
        ({"unshuffle": 2}, "unshuffle=2 is impossible for head='classic'"),
        ({"head": "uni", "uni_method": "magic"}, "magic"),
        ({"head": "lte", "mid_dim": 7}, "mid_dim=7 is not an even number"),
        ({"head": "dysample", "dysample_kernel": 2}, "kernel of 2"),
        # What a file could not tell from another network:
        ({"head": "bicubic"}, "would be taken for head='classic'"),
        ({"large_kernel": "separable"}, "would be taken for head='bicubic'"),
        ({"head": "real", "scale": 2}, "4 times larger"),
        ({"head": "neosr", "scale": 3}, "scale=3 is impossible for head='neosr'"),
        ({"head": "dysample", "dysample_kernel": 1, "mid_dim": 8}, "mid_dim=8 must be 0"),
    ],
)
def test_impossible_configurations_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        ESC(EscConfig(**values))
