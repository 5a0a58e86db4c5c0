"""State dicts with something wrong in them: a `CheckpointError`, or a network that works."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from esc_plugin.errors import CheckpointError
from esc_plugin.network import ESC, EscConfig
from esc_plugin.weights.checkpoint import read_checkpoint
from esc_plugin.weights.dialects import to_dialect
from esc_plugin.weights.model import MAX_WINDOW, build_network, read_model

from .golden import golden_cases

State = dict[str, Tensor]
DTYPES = (torch.uint8, torch.int64, torch.bool, torch.float16, torch.bfloat16, torch.float64, torch.complex64)

BASE = {"dim": 8, "pdim": 4, "kernel_size": 3, "n_blocks": 1, "conv_blocks": 1, "window_size": 4, "num_heads": 2}
BASE |= {"proj_hidden": 12, "conv_hidden": 10}
RIB = {"position": "rib", "position_rank": 3, "rib_hidden": 5, "rib_freqs": 2, "last_norm": True, "window_size": 64}
#: What each family adds.
FAMILIES = {
    "classic": {},
    "flash": {"position": "flash", "position_rank": 3},
    "fp": {"large_kernel": "separable", "head": "bicubic", "conv_norms": True, "last_norm": True},
    "rib": RIB,
    "lte": {"head": "lte", "scale": 4, "mid_dim": 6, "mlp_hidden": (7, 5)},
    "real": {"head": "real", "scale": 4},
    "neosr": {"head": "neosr"},
    "dysample": {"head": "dysample", "dysample_kernel": 3},
} | {
    method: {"head": "uni", "uni_method": method, "uni_version": 3, "scale": 2, "unshuffle": 2, "mid_dim": 8}
    | ({"dysample_kernel": 1} if method == "dysample" else {})
    for method in ("pixelshuffledirect", "pixelshuffle", "nearest+conv", "dysample", "transpose+conv", "pa_up")
}


def drop(state: State, name: str, random_: random.Random) -> State:
    return {key: value for key, value in state.items() if key != name}


def drop_group(state: State, name: str, random_: random.Random) -> State:
    """Leave out all that begins like one of the names."""
    prefix = name[: random_.randrange(1, len(name))]
    return {key: value for key, value in state.items() if not key.startswith(prefix)}


def rename(state: State, name: str, random_: random.Random) -> State:
    at = random_.randrange(len(name))
    other = random_.choice(
        [name[:at] + random_.choice("0129.x\n") + name[at + 1 :], random_.choice(sorted(state)), name + ".x"]
    )
    return {other if key == name else key: value for key, value in state.items()}


def swap(state: State, name: str, random_: random.Random) -> State:
    other = random_.choice(sorted(state))
    return state | {name: state[other], other: state[name]}


def transpose(state: State, name: str, random_: random.Random) -> State:
    value = state[name]
    turned = value.permute(random_.sample(range(value.ndim), value.ndim))
    return state | {name: turned if random_.random() < 0.5 else turned.contiguous()}


def reshape(state: State, name: str, random_: random.Random) -> State:
    value = state[name]
    shapes = [(-1,), (1, *value.shape), (*value.shape, 1), (1, -1), (-1, 1)]
    return state | {name: value.reshape(random_.choice(shapes))}


def scalar(state: State, name: str, random_: random.Random) -> State:
    return state | {name: torch.tensor(0.5)}


def cast(state: State, name: str, random_: random.Random) -> State:
    return state | {name: state[name].to(random_.choice(DTYPES))}


def cast_all(state: State, name: str, random_: random.Random) -> State:
    dtype = random_.choice(DTYPES)
    return {key: value.to(dtype) for key, value in state.items()}


def empty(state: State, name: str, random_: random.Random) -> State:
    shape = list(state[name].shape) or [1]
    shape[random_.randrange(len(shape))] = 0
    return state | {name: torch.empty(shape)}


def huge(state: State, name: str, random_: random.Random) -> State:
    shape = list(state[name].shape) or [1]
    shape[random_.randrange(len(shape))] = random_.choice([5000, 10**6, 2**40])
    return state | {name: torch.zeros(1).expand(shape)}


def resize(state: State, name: str, random_: random.Random) -> State:
    """Change one size wherever it occurs, so that the shapes still fit together."""
    old = random_.choice(state[name].shape or (8,))
    if not old:
        return state
    new = max(random_.choice([old - 1, old + 1, old // 2, 2 * old, 0, 1, 2, 3]), 0)

    def resized(value: Tensor) -> Tensor:
        for axis in [i for i, size in enumerate(value.shape) if size == old]:
            value = value.index_select(axis, torch.arange(new) % old)
        return value

    return {key: resized(value) for key, value in state.items()}


def one_size(state: State, name: str, random_: random.Random) -> State:
    only = {name: state[name]}
    return state | resize(only, name, random_)


def meta(state: State, name: str, random_: random.Random) -> State:
    """Change what a head says of itself, where one does."""
    values = state.get("to_img.MetaUpsample", torch.zeros(7, dtype=torch.uint8)).clone()
    values[random_.randrange(7)] = random_.choice([0, 1, 2, 3, 4, 5, 7, 8, 64, 255])
    return state | {"to_img.MetaUpsample": values}


MUTATIONS: list[Callable[[State, str, random.Random], State]] = [
    drop, drop_group, rename, swap, transpose, reshape, scalar, cast, cast_all, empty, huge, resize, one_size, meta,
]  # fmt: skip


def seeds() -> dict[str, State]:
    """Return sound state dicts of all families, and the golden ones where they are."""
    torch.manual_seed(0)
    states = {}
    for family, change in FAMILIES.items():
        config = EscConfig(**BASE | change)
        states[family] = dict(to_dialect(ESC(config).state_dict(), config))
    return states | {case.name: read_checkpoint(case.path).state for case in golden_cases()}


def mutants(states: dict[str, State], count: int, seed: int) -> Iterator[tuple[str, State]]:
    """Yield `count` state dicts with one or two changes, and what was done."""
    random_ = random.Random(seed)
    for _ in range(count):
        family = random_.choice(sorted(states))
        state, done = states[family], family
        for mutation in random_.choices(MUTATIONS, k=random_.choice([1, 1, 1, 2])):
            name = random_.choice(sorted(state) or ["none"])
            if name in state and max(value.numel() for value in state.values()) < 10**7:
                state, done = mutation(state, name, random_), f"{done}, {mutation.__name__} {name}"
        yield done, state


def outcome(what: str, state: State, folder: Path | None) -> str:
    """Build the network, through a file if there is a `folder`, and run it; return what came of it."""
    window = 8 if "rib" in what.split(",")[0] else None
    try:
        if folder is None:
            network = build_network(state, window)
        else:
            torch.save({"params": state}, folder / "mutant.pth")
            network = read_model(folder / "mutant.pth", window_size=window).network
    except CheckpointError as error:
        return "refused" if "\n" not in str(error) else f"{what}: {error}"
    assert network.config.window_size <= MAX_WINDOW
    height, width = network.config.scale * 5, network.config.scale * 7
    assert network(torch.rand(1, 3, 5, 7)).shape == (1, 3, height, width), what
    return "works"


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("by_file", [False, True])
def test_mutants(by_file: bool, tmp_path: Path) -> None:
    states = seeds()
    counts = {"refused": 0, "works": 0}
    for what, state in mutants(states, 150, seed=int(by_file)):
        if by_file and any(value.numel() > 10**6 for value in state.values()):
            continue  # it would be a large file
        counts[outcome(what, state, tmp_path if by_file else None)] += 1
    assert min(counts.values()) > 5
