"""How fast, and in what memory: the paper's table, sizes of chunks, and where the maps are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .authors import Attention, Authors, ByFlex, by_sdpa
from .bench import MIB, Bench, Row, ratio, stage
from .networks import DTYPES, MAPS, engine, noise, random_model, upscaler

#: Height and width of the output in the paper.
OUTPUT = (720, 1280)
#: The paper's rows, what is most worth knowing first.
ROWS = (
    ("ESC", 2),
    ("ESC", 4),
    ("ESC-lt", 4),
    ("ESC-Real", 4),
    ("ESC-FP", 2),
    ("ESC-lt", 2),
    ("ESC", 3),
    ("ESC-FP", 4),
    ("ESC-lt", 3),
    ("ESC-FP", 3),
)
#: The tables of these are made with all precisions of the authors' form; of the others in float32.
IN_FULL = ROWS[:3]


def input_size(bench: Bench, scale: int) -> tuple[int, int]:
    height, width = (96, 160) if bench.tiny else OUTPUT
    return -(-height // scale), -(-width // scale)


@stage("the paper's table: 1280 x 720 output, in alternation", 200)
def paper(bench: Bench) -> None:
    flex = _flex(bench)
    for name, scale in ROWS[: 2 if bench.tiny else None]:
        if bench.left() < 5:
            bench.add(note="out of time")
            return
        image = noise(bench, *input_size(bench, scale))
        runs, networks = _candidates(bench, name, scale, image, flex)
        found = bench.time(runs, seconds=0.6)
        for label, row in found.items():
            own = sum(t.numel() * t.element_size() for t in networks[label]) / MIB
            total = None if row.get("mib") is None else row["mib"] + own
            bench.add(
                network=f"{name} x{scale}",
                what=label,
                **row,
                with_weights_mib=total,
                against_sdpa=ratio(found, label, "authors sdpa float32"),
                against_flex=ratio(found, label, "authors flex float32"),
            )
        del runs, networks
        bench.clean()


def _flex(bench: Bench) -> ByFlex | None:
    if not bench.cuda:
        return None  # it would compile for minutes
    torch._dynamo.config.cache_size_limit = 64
    return ByFlex()


def _candidates(
    bench: Bench, name: str, scale: int, image: Tensor, flex: ByFlex | None
) -> tuple[dict[str, Callable[[], object]], dict[str, list[Tensor]]]:
    """Return what to run, and what each holds on the device."""
    model = random_model(bench, name, scale)
    runs: dict[str, Callable[[], object]] = {}
    held: dict[str, list[Tensor]] = {}
    kinds: dict[str, Attention] = {"sdpa": by_sdpa} | ({"flex": flex} if flex else {})
    for label, attention in kinds.items():
        for precision in DTYPES if (name, scale) in IN_FULL else ("float32",):
            theirs = authors(bench, model.network, precision, attention)
            key = f"authors {label} {precision}"
            runs[key], held[key] = _call(theirs, image.to(DTYPES[precision])), list(theirs.state.values())
    for precision in DTYPES:
        user = upscaler(bench, model, precision)
        network = user.network(DTYPES[precision])
        for key, run in {
            f"ours {precision}": _call(user.run, image),
            f"ours, untiled {precision}": _call(network, image),
        }.items():
            if "untiled" not in key or (name, scale) in IN_FULL:
                runs[key], held[key] = run, _resident(network)
    return runs, held


def authors(bench: Bench, network: torch.nn.Module, precision: str, attention: Attention = by_sdpa) -> Authors:
    """Return the authors' form of a network."""
    config = network.config
    state = {key: value.to(bench.device, DTYPES[precision]) for key, value in network.state_dict().items()}
    return Authors(state, config.scale, config.window_size, config.num_heads, attention)


def _call(function: Callable[[Tensor], object], image: Tensor) -> Callable[[], object]:
    return lambda: function(image)


def _resident(network: torch.nn.Module) -> list[Tensor]:
    """Return the parameters, and the biases that evaluation keeps once it has run."""
    kept = [value for block in network.blocks for value in block.attn.bias() if value is not None]
    return [*network.parameters(), *kept]


@stage("sizes of chunks", 50)
def chunks(bench: Bench) -> None:
    sides = (64,) if bench.tiny else (720, 2048)
    sizes = (4, 8) if bench.tiny else (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
    for model in (random_model(bench, "ESC", 2), random_model(bench, "ESC-lt", 4)):
        for precision in ("float32", "bfloat16"):
            network = upscaler(bench, model, precision).network(DTYPES[precision])
            for side in sides:
                if bench.left() < 2:
                    bench.add(note="out of time")
                    return
                image = noise(bench, side, side)
                out = torch.empty(1, 3, *(model.scale * n for n in image.shape[-2:]), device=bench.device)
                runs = {f"{size}": _engine(bench, network, image, out, size) for size in sizes}
                runs |= {"untiled": _call(network, image)}
                found = bench.time(runs, seconds=0.4, most=20)
                for label, row in found.items():
                    against = ratio(found, label, "2048")
                    bench.add(model=model.name, dtype=precision, side=side, chunk_mib=label, **row, against_2048=against)
                bench.clean()


def _engine(
    bench: Bench, network: torch.nn.Module, image: Tensor, out: Tensor, chunk_mib: int, homes: Row | None = None
) -> Callable[[], object]:
    return lambda: engine(bench, network, image, out, chunk_mib * MIB, homes).execute()


@stage("biases kept or made for each image", 15)
def biases(bench: Bench) -> None:
    for name, scale in (("ESC", 2), ("ESC", 4)):
        image = noise(bench, *input_size(bench, scale))
        runs: dict[str, Callable[[], object]] = {}
        for keep in (True, False):
            network = upscaler(bench, random_model(bench, name, scale)).network()
            for block in network.blocks:
                block.attn.keep_bias(keep)
            runs["kept" if keep else "made"] = _call(network, image)
        found = bench.time(runs)
        for label, row in found.items():
            bench.add(network=f"{name} x{scale}", bias=label, **row, against_kept=ratio(found, label, "kept"))


@stage("where the maps are, and where image and output are", 50)
def maps(bench: Bench) -> None:
    side = 64 if bench.tiny else 1536
    model = random_model(bench, "ESC-lt", 4)
    for precision in ("float32", "float16"):
        network = upscaler(bench, model, precision).network(DTYPES[precision])
        image = noise(bench, side, side)
        out = torch.empty(1, 3, 4 * side, 4 * side, device=bench.device)
        homes: dict[str, list[str]] = {
            "all on the device": [],
            "one on the host": ["a"],
            "all on the host": list(MAPS),
        }
        chunk = 2048 if precision == "float32" else 1024
        runs = {
            label: _engine(bench, network, image, out, chunk, dict.fromkeys(names, "host")) for label, names in homes.items()
        }
        runs["all on the host, chunks of 256 MiB"] = _engine(bench, network, image, out, 256, dict.fromkeys(MAPS, "host"))
        runs["one on disk"] = _engine(bench, network, image, out, chunk, {"a": "disk"})
        runs["image and output on the host"] = _engine(bench, network, image.cpu(), out.cpu(), chunk)
        if bench.cuda:
            pinned = image.cpu().pin_memory(), torch.empty(out.shape, pin_memory=True)
            runs["image and output in pinned memory"] = _engine(bench, network, *pinned, chunk)
        found = bench.time(runs, seconds=0.7, most=10)
        for label, row in found.items():
            bench.add(dtype=precision, maps=label, **row, against_device=ratio(found, label, "all on the device"))
        bench.clean()


@stage("copies: what overlapping them with work, and with each other, could bring", 20)
def copies(bench: Bench) -> None:
    if not bench.cuda:
        bench.add(note="needs CUDA")
        return
    size = 2**20 if bench.tiny else 2**28
    there, back = (torch.empty(size, dtype=torch.uint8, device=bench.device) for _ in range(2))
    pinned, pinned_back = (torch.empty(size, dtype=torch.uint8, pin_memory=True) for _ in range(2))
    pageable = torch.empty(size, dtype=torch.uint8)
    up, down = torch.cuda.Stream(), torch.cuda.Stream()
    work = torch.rand(*(256, 256) if bench.tiny else (4096, 4096), device=bench.device)

    def both(busy: bool) -> None:
        now = torch.cuda.current_stream()
        for stream, target, source in ((up, there, pinned), (down, pinned_back, back)):
            stream.wait_stream(now)
            with torch.cuda.stream(stream):
                target.copy_(source, non_blocking=True)
        if busy:
            for _ in range(4):
                work @ work
        now.wait_stream(up)
        now.wait_stream(down)

    runs: dict[str, Callable[[], object]] = {
        "up, pageable": lambda: there.copy_(pageable),
        "up, pinned": lambda: there.copy_(pinned, non_blocking=True),
        "down, pageable": lambda: pageable.copy_(back),
        "down, pinned": lambda: pinned_back.copy_(back, non_blocking=True),
        "up and down at once, pinned": lambda: both(False),
        "matrix products": lambda: [work @ work for _ in range(4)],
        "up, down and matrix products at once": lambda: both(True),
        "on the device": lambda: there.copy_(back),
    }
    for label, row in bench.time(runs, seconds=0.5, most=20).items():
        moved = size * (2 if "at once" in label else 1)
        bench.add(what=label, **row, gb_s=moved / row["ms"] / 1e6 if row.get("ms") else None)
