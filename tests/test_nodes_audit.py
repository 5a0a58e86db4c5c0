"""What comes over wires and from programs, which no widget would have let through."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from esc_plugin.network import ESC

from .comfy_stubs import TINY, Comfy, import_spandrel
from .test_nodes import picture, sized


@pytest.fixture
def host(running: Comfy, tmp_path: Path) -> Comfy:
    running.start()
    torch.manual_seed(0)
    save_file(ESC(TINY).state_dict(), tmp_path / "mine.safetensors")
    running.files = {"mine.safetensors": tmp_path / "mine.safetensors"}
    return running


@pytest.fixture
def compact() -> Any:
    """A model of another kind, and of another scale than `model`."""
    registry = import_spandrel().MAIN_REGISTRY
    torch.manual_seed(0)
    from spandrel.architectures.Compact import Compact

    return registry.load(Compact(num_feat=8, num_conv=1, upscale=4).state_dict()).eval()


@pytest.mark.parametrize("swapped", [False, True])
def test_models_of_another_kind_and_scale_are_blended(swapped: bool, host: Comfy, model: Any, compact: Any) -> None:
    first, second = (compact, model) if swapped else (model, compact)
    found = host.run("ESC_UpscaleImage", upscale_model=first, image=picture(), second_model=second, second_share=0.25)
    asked = sized(host, "factor", factor=float(first.scale))
    one, other = (host.run("ESC_UpscaleImage", upscale_model=each, image=picture(), **asked) for each in (first, second))
    assert torch.allclose(found, 0.75 * one + 0.25 * other, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"memory_limit": float("nan")}, "memory_limit is nan"),
        ({"second_share": float("nan")}, "second_share is nan"),
        ({"upscale_model": None}, "this is a NoneType"),
        ({"second_model": SimpleNamespace(model="x")}, "this is a SimpleNamespace"),
        (
            {"image": torch.stack([*picture(), torch.full((20, 26, 3), torch.nan)])},
            "image 2 of 2 holds NaN or infinity; what",
        ),
    ],
)
def test_what_is_none_says_so_before_work(inputs: dict[str, Any], said: str, host: Comfy, model: Any) -> None:
    with pytest.raises(host.inside("esc_plugin.errors").EscError, match=said):
        host.run("ESC_UpscaleImage", **({"upscale_model": model, "image": picture()} | inputs))
    assert host.loads == []


def test_no_pass_is_told_that_does_not_run(host: Comfy, model: Any) -> None:
    host.run("ESC_UpscaleImage", upscale_model=model, image=picture(), strength=0.0)
    assert host.said == ["26 x 20 to 52 x 40: 0 passes, then Lanczos x2."]


def test_the_kind_of_an_error_names_no_folder(host: Comfy) -> None:
    errors = host.inside("esc_plugin.errors")
    for kind in (errors.EscError, errors.ImageError, errors.CheckpointError, errors.HubError):
        assert f"{kind.__module__}.{kind.__qualname__}" == f"esc_plugin.{kind.__name__}"
