"""What several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

from .comfy_stubs import GENERATIONS, Comfy, comfy, import_spandrel
from .golden import SHARED
from .mend import mend_torchvision

mend_torchvision()

# Each example runs a network: a slow machine is no failure, and shrinking one would take minutes.
settings.register_profile(
    "default",
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of golden vectors and benchmark images that lies beside a development checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs the golden vectors and images of the folder shared/ beside the checkout")
    return SHARED


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module", params=GENERATIONS)
def running(request: pytest.FixtureRequest) -> Iterator[Comfy]:
    """A ComfyUI of each generation with the pack, for all tests of a file; those bring a `host` of their own."""
    import_spandrel()
    with comfy(request.param) as host:
        yield host


@pytest.fixture
def model(host: Comfy) -> Any:
    """A model as it goes over wires, of the file "mine.safetensors" of a `host`."""
    return host.run("ESC_LoadModel", model="mine.safetensors")
