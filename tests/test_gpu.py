"""What a GPU would have to be waited for, found without one: the meta device runs everything and holds no values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from esc_plugin import device
from esc_plugin.arrays.planes import TensorImage
from esc_plugin.device import free_bytes
from esc_plugin.engine import Plan, Run, make_plan, plan
from esc_plugin.engine.maps import Storage
from esc_plugin.engine.plan import RESERVE_BYTES
from esc_plugin.network import ESC, EscConfig

from .small import random_upscaler, small_config
from .test_heads import every_config

DEVICE, SIDE = torch.device("meta"), 96
PLACED = ("feat", "a", "b", "c")  # of which a network may have fewer
#: What needs a value on the host to go on, and what needs several.
ASKS_ONE = {f"aten::{name}" for name in ("_local_scalar_dense", "item", "is_nonzero", "equal")}
ASKS = ASKS_ONE | {f"aten::{name}" for name in ("nonzero", "masked_select", "_unique2", "repeat_interleave.Tensor")}


class Waits(TorchDispatchMode):
    """Counts what the processor would wait for: values it asks for, copies from the host, and copies to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.uploads, self.downloads = 0, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, stated = func._schema.name, dict(zip((a.name for a in func._schema.arguments), args, strict=False))
        stated |= kwargs or {}
        self.asked += name in ASKS
        if name in ASKS_ONE:
            return False
        blocking = not stated.get("non_blocking", False)
        if name in ("aten::to", "aten::_to_copy"):
            self._note(args[0].device, stated.get("device"), blocking)
        if name == "aten::copy_":
            self._note(args[1].device, args[0].device, blocking)
            if args[1].is_meta:
                return args[0]  # there is nothing to copy
        return func(*args, **kwargs or {})

    def _note(self, source: torch.device, target: torch.device | None, blocking: bool) -> None:
        self.uploads += source.type == "cpu" and target == DEVICE and blocking
        self.downloads += source == DEVICE and target == torch.device("cpu")


def waits_of(dtype: torch.dtype, homes: dict[str, Storage], chunk_bytes: int, config: EscConfig | None = None) -> Waits:
    """Run an image, which is on the host like the output."""
    with DEVICE:
        network = ESC(config or small_config()).eval().requires_grad_(False).to(dtype)
    geometry = network.geometry(SIDE, SIDE)
    source, sink = (TensorImage(torch.zeros(1, 3, *size)) for size in (geometry.image, geometry.output))
    with Waits() as waits:
        Run(network.program(geometry), geometry, Plan(homes, chunk_bytes), source, sink, DEVICE, dtype).execute()
    return waits


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the device for one whose copies are not waited for."""
    monkeypatch.setattr(device, "STREAMED", ("meta",))


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize(("dtype", "asked"), [(torch.float32, 0), (torch.bfloat16, 1), (torch.float16, 1)])
def test_a_run_waits_for_its_output_and_once_to_know_whether_all_is_finite(dtype: torch.dtype, asked: int) -> None:
    waits = waits_of(dtype, dict.fromkeys(PLACED, "device"), 2**30)
    assert (waits.asked, waits.uploads, waits.downloads) == (asked, 0, 1)


@pytest.mark.usefixtures("streamed")
def test_chunks_are_not_waited_for_either() -> None:
    """Many chunks a step; the output comes in as many as its step has."""
    waits = waits_of(torch.float16, dict.fromkeys(PLACED, "device"), 2**18)
    assert (waits.asked, waits.uploads) == (1, 0)
    assert waits.downloads > 4


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("config", every_config(), ids=lambda config: f"{config.head} {config.uni_method}")
def test_no_head_is_waited_for(config: EscConfig) -> None:
    waits = waits_of(torch.float16, dict.fromkeys(PLACED, "device"), 2**30, config)
    assert (waits.asked, waits.uploads) == (1, 0)


@pytest.mark.usefixtures("streamed")
def test_maps_on_the_host_are_read_without_waiting() -> None:
    waits = waits_of(torch.float16, dict.fromkeys(PLACED, "host"), 2**30)
    assert (waits.asked, waits.uploads) == (1, 0)
    assert waits.downloads > 4


def test_other_devices_are_waited_for() -> None:
    """Only CUDA is known to have read host memory, or to keep it, when the call returns."""
    assert waits_of(torch.float16, dict.fromkeys(PLACED, "device"), 2**30).uploads > 0


def test_what_torch_keeps_of_a_device_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given back for the question: that would wait for the device, for every image of a film."""
    figures = {"memory_reserved": 700, "memory_allocated": 200, "mem_get_info": (1000, 5000)}
    for name, figure in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, figure=figure: figure)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: pytest.fail("the cache was emptied"))
    assert free_bytes(torch.device("cuda")) == 1500


def test_the_host_is_asked_for_memory_only_if_a_map_has_to_go_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr(plan, "free_bytes", lambda device: asked.append(device) or 2**40)
    monkeypatch.setattr(plan, "allowed_bytes", lambda device: 2**40)
    need = random_upscaler().need(SIDE, SIDE)
    assert set(make_plan(need, torch.device("cuda"), 2**40).storage.values()) == {"device"}
    assert not asked
    assert "host" in make_plan(need, torch.device("cuda"), RESERVE_BYTES + 2**22).storage.values()
    assert asked == [torch.device("cpu")]
