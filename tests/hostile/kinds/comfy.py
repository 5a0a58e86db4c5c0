"""What other nodes may put on ComfyUI's wires, and values that its widgets don't check."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from esc_plugin.network import ESC

from ...comfy_io import arguments
from ...comfy_stubs import TINY, Comfy, comfy, import_spandrel, locked
from ...mend import mend_torchvision
from ..case import Case, RefusedError, check

OPEN = ExitStack()
NODES = ("ESC_UpscaleImage", "ESC_UpscaleImage", "ESC_PreviewUpscale", "ESC_LoadModel")
WIDGETS: dict[str, tuple[Any, ...]] = {
    "INT": (-1, 0, 1, 3, 7, 31, 300, 2**31, 10**12, -(2**63), True),
    "FLOAT": (float("nan"), float("inf"), -1.0, 0.0, 1e-9, 0.3, 1.0, 2.5, 1e9, 1e300, 3),
    "STRING": (
        "",
        " ",
        "org/repo",
        "../x",
        "x" * 5000,
        "\0",
        "https://example.invalid/x",
        "a/b/c@d",
        "\u202e",
        "http://[::1",
    ),
    "BOOLEAN": (True, False),
}
CHOICES = ("", "auto", "x9", None, 3, [], {}, "esc-nano-x2", "\0", "x" * 3000, "../../a.safetensors")


@cache
def host() -> Comfy:
    """Return a ComfyUI with the pack inside, for as long as this process lives."""
    mend_torchvision()
    import_spandrel()
    found = OPEN.enter_context(comfy("2025"))
    torch.manual_seed(0)
    place = Path(tempfile.mkdtemp(), "mine.safetensors")
    save_file(ESC(TINY).state_dict(), place)
    found.files, found.folder = {"mine.safetensors": place}, place.parent / "upscale_models"
    return found


@cache
def model() -> Any:
    """Return what goes over the wire of a model."""
    return host().run("ESC_LoadModel", model="mine.safetensors")


def case(rng: Random) -> Case:
    """Return a node with strange inputs."""
    node_id = rng.choice(NODES)
    node = host().nodes[node_id]
    inputs = node.define_schema().inputs
    given: dict[str, Any] = (
        {"model": "mine.safetensors"}
        if node_id == "ESC_LoadModel"
        else {"upscale_model": model(), "image": picture(rng, 0.3)}
    )
    values = arguments(inputs, given)
    changed = rng.sample(inputs, min(rng.choice((0, 1, 1, 2, 3)), len(inputs)))
    for part in changed:
        values[part.id] = _value(rng, part)
    return Case(
        f"{node_id}: {', '.join(f'{p.id}={str(values[p.id])[:30]!r}' for p in changed)}",
        {},
        lambda _: attempted(node_id, values),
        network=True,
    )


def attempted(node_id: str, values: dict[str, Any]) -> list[str]:
    """Run a node, with errors as a user of ComfyUI sees them."""
    ours = host().inside("esc_plugin.errors").EscError
    host().start()
    try:
        with torch.inference_mode():
            (made,) = locked(host().nodes[node_id]).execute(**values).args
    except ours as error:
        check(
            str(error).isprintable() and len(str(error)) < 1000, f"{type(error).__name__} is no line: {str(error)[:200]!r}"
        )
        raise RefusedError(type(error).__name__, str(error)) from None
    if node_id != "ESC_LoadModel":
        image = values["image"]
        check(
            made.ndim == 4 and made.shape[0] == image.shape[0] and made.shape[3] == image.shape[3],
            f"it made {tuple(made.shape)}",
        )
        check(made.dtype == torch.float32 and bool(made.isfinite().all()), "it made something that is no picture")
        low, high = min(float(image.min()), 0), max(float(image.max()), 1)
        check(low <= made.min() and made.max() <= high, f"it made values beyond {low:g}..{high:g}")
    return []


def _value(rng: Random, part: Any) -> Any:
    if part.kind in ("IMAGE", "MASK"):
        return picture(rng, 0.8) if rng.random() < 0.7 else picture(rng, 0.8)[..., 0] if part.kind == "MASK" else mask(rng)
    if part.kind == "UPSCALE_MODEL":
        return rng.choice((None, 3, "x", torch.zeros(3), torch.nn.Conv2d(3, 3, 1), object(), model()))
    if part.kind == "COMBO":
        return rng.choice((*CHOICES, *part.values["options"]))
    return rng.choice(WIDGETS[part.kind])


def mask(rng: Random) -> Any:
    """Return what may stand for a mask."""
    return rng.choice(
        (
            torch.rand(1, 8, 9),
            torch.rand(3, 4, 5),
            torch.zeros(0, 8, 9),
            torch.rand(8, 9),
            torch.full((1, 8, 9), torch.nan),
            None,
            0.5,
        )
    )


def picture(rng: Random, strange: float) -> Any:
    """Return a batch as nodes hand it on, or something that only seems to be one."""
    image: Tensor = torch.rand(
        rng.choice((1, 1, 2)),
        rng.choice((1, 8, 9)),
        rng.choice((1, 7, 12)),
        rng.choice((3, 3, 4)),
        generator=torch.Generator().manual_seed(1),
    )
    if rng.random() > strange:
        return image
    kind = rng.randrange(12)
    if kind < 4:
        image.view(-1)[0] = rng.choice((float("nan"), float("inf"), -5.0, 1e30))
        return image
    return (
        image.half(),
        image.bfloat16(),
        image.double() * 1e200,
        (image * 255).to(torch.uint8),
        image[0],
        image[..., :2],
        image[:0],
        image.permute(0, 3, 1, 2),
    )[kind - 4]
