"""Where the time goes, and what other ways to compute the same would take."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from esc_plugin.network import ESC
from esc_plugin.network.grid import Region
from esc_plugin.network.program import LARGEST_MEAN, Chunk, mean_of, pixel_sum

from .bench import Bench, Row, ratio, stage
from .networks import DTYPES, noise, random_model, upscaler
from .speed import input_size

#: Calls that are timed together, as one alone takes no longer than starting it.
TOGETHER = 10


@stage("time by kind of step, ms", 15)
def steps(bench: Bench) -> None:
    for name, scale in (("ESC", 2), ("ESC", 4), ("ESC-FP", 2)):
        for precision in ("float32", "float16"):
            network = upscaler(bench, random_model(bench, name, scale), precision).network(DTYPES[precision])
            image = noise(bench, *input_size(bench, scale)).contiguous(memory_format=torch.channels_last)
            with torch.inference_mode():
                for _ in range(3):
                    found = _by_kind(bench, network, image)
            bench.add(network=f"{name} x{scale}", dtype=precision, **found)


def _by_kind(bench: Bench, network: ESC, image: Tensor) -> Row:
    """Run a network like `run_whole`, with the time taken between steps."""
    geometry = network.geometry(*image.shape[-2:])
    chunk = Chunk(Region(0, 0, *geometry.grid), geometry, lambda name, halo: maps[name])
    maps, mean, pixels = {"image": image}, None, prod(geometry.grid)
    clock = Clock(bench)
    for step in network.program(geometry).steps:
        kind = re.sub(r"block \S+ |convolution \S+ ", "", step.name)
        value = step.setup(mean) if step.setup else None
        clock.took("set-up")
        maps[step.writes] = step.apply(chunk, value, *(maps[name] for name in step.reads))
        clock.took("conv attention" if re.search(r"convolution \d+/\d+$", step.name) else kind)
        mean = mean_of(pixel_sum(maps[step.writes][:, : step.mean], pixels), pixels) if step.mean else None
        clock.took("means")
    return clock.sums()


class Clock:
    """Adds up what passes between calls, by name."""

    def __init__(self, bench: Bench) -> None:
        self.cuda = bench.cuda
        self.marks: list[tuple[str, Any]] = []
        self.took("")

    def took(self, name: str) -> None:
        if self.cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append((name, event))

    def sums(self) -> Row:
        if not self.cuda:
            return {}
        torch.cuda.synchronize()
        sums: dict[str, float] = defaultdict(float)
        for (_, before), (name, after) in zip(self.marks, self.marks[1:], strict=False):
            sums[name] += before.elapsed_time(after)
        return {name: round(value, 3) for name, value in sums.items()}


@stage("profile of one image: kernels by time, copies, waits", 30)
def profile(bench: Bench) -> None:
    from torch.profiler import ProfilerActivity

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if bench.cuda else [])
    for name, scale, precision in (
        ("ESC", 2, "float32"),
        ("ESC", 2, "float16"),
        ("ESC-FP", 2, "float32"),
        ("ESC", 4, "float16"),
    ):
        if bench.left() < 3:
            bench.add(note="out of time")
            return
        user = upscaler(bench, random_model(bench, name, scale), precision)
        image = noise(bench, *input_size(bench, scale)).cpu()
        for _ in range(2):
            user.run(image)
        with torch.profiler.profile(activities=activities) as record:
            user.run(image)
            bench.synchronize()
        _report(bench, f"{name} x{scale} {precision}", list(record.key_averages()))


def _report(bench: Bench, label: str, events: list[Any]) -> None:
    def device_ms(event: Any) -> float:
        return float(getattr(event, "self_device_time_total", 0)) / 1e3

    kernels = [event for event in events if "CUDA" in str(event.device_type) and not event.key.startswith("aten::")]
    total = sum(map(device_ms, kernels))
    calls = {
        event.key: event.count
        for event in events
        if re.match("cuda(Stream|Device|Event)Sync|cudaMemcpy|cudaLaunch", event.key)
    }
    copied = sum(device_ms(event) for event in kernels if event.key.startswith("Mem"))
    bench.add(run=label, device_ms=total, copies_ms=copied, kernels=sum(e.count for e in kernels), calls=str(calls))
    for event in sorted(kernels, key=device_ms, reverse=True)[:25]:
        share = device_ms(event) / total
        bench.add(run=label, kernel=event.key[:110], device_ms=device_ms(event), share=round(share, 3), kernels=event.count)


@stage("layers in two layouts, with and without cuDNN's search, ms", 40)
def layers(bench: Bench) -> None:
    height, width = (24, 40) if bench.tiny else (360, 640)
    for precision, dtype in DTYPES.items():

        def tensor(*shape: int) -> Tensor:
            return torch.randn(*shape, device=bench.device, dtype=dtype) * 0.1  # noqa: B023  # used within the turn

        x = {c: tensor(1, c, height, width) for c in (16, 48, 64, 80, 128)}
        convolutions = {
            "1x1, 64 to 192": (64, tensor(192, 64, 1, 1), 1, 0),
            "1x1, 64 to 128": (64, tensor(128, 64, 1, 1), 1, 0),
            "1x1, 80 to 64": (80, tensor(64, 80, 1, 1), 1, 0),
            "3x3, 64 to 64": (64, tensor(64, 64, 3, 3), 1, 1),
            "3x3 depthwise, 128": (128, tensor(128, 1, 3, 3), 128, 1),
            "3x3 depthwise, 80": (80, tensor(80, 1, 3, 3), 80, 1),
            "13x13, 16 to 16": (16, tensor(16, 16, 13, 13), 1, 6),
            "13x13 depthwise, 16": (16, tensor(16, 1, 13, 13), 16, 6),
        }
        for label, (channels, weight, groups, padding) in convolutions.items():
            if bench.left() < 1:
                bench.add(note="out of time")
                return
            _layouts(
                bench,
                precision,
                label,
                x[channels],
                lambda y, w=weight, p=padding, g=groups: F.conv2d(y, w, None, padding=p, groups=g),
            )
        weight, gain = tensor(128, 64), tensor(64)
        others = {
            "1x1 as matrix product, 64 to 128": lambda y: F.linear(y.permute(0, 2, 3, 1), weight),  # noqa: B023
            "layer norm": lambda y: F.layer_norm(y.permute(0, 2, 3, 1), (64,), gain, gain, 1e-6),  # noqa: B023
            "GELU": F.gelu,
            "copy": lambda y: y.clone(),
        }
        for label, run in others.items():
            _layouts(bench, precision, label, x[64], run)
        bench.clean()


def _layouts(bench: Bench, precision: str, label: str, x: Tensor, run: Callable[[Tensor], Tensor]) -> None:
    def many(y: Tensor, search: bool) -> Callable[[], None]:
        def call() -> None:
            torch.backends.cudnn.benchmark = search
            for _ in range(1 if bench.tiny else TOGETHER):
                run(y)

        return call

    last = x.contiguous(memory_format=torch.channels_last)
    kinds = {"contiguous": many(x, False), "channels_last": many(last, False)}
    if "x" in label[:3]:
        kinds |= {"contiguous, searched": many(x, True), "channels_last, searched": many(last, True)}
    try:
        found = bench.time(kinds, seconds=0.05, most=10)
    finally:
        torch.backends.cudnn.benchmark = False
    each = 1 if bench.tiny else TOGETHER
    times = {kind: round(row["ms"] / each, 4) if "ms" in row else row.get("error") for kind, row in found.items()}
    bench.add(layer=label, dtype=precision, **times)


@stage("sums over pixels: the exact one and others", 15)
def sums(bench: Bench) -> None:
    height, width = (24, 40) if bench.tiny else (360, 640)
    for precision, dtype in DTYPES.items():
        x = torch.randn(1, 64, height, width, device=bench.device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        _sums_of(bench, precision, x[:, :16])


def _sums_of(bench: Bench, precision: str, x: Tensor) -> None:
    pixels = x.shape[2] * x.shape[3]
    kinds = {"exact, as it is": pixel_sum, "exact, parts in float64": _in_float64, "fixed point": _fixed_point}
    runs: dict[str, Callable[[], Tensor]] = {label: partial(kind, x, pixels) for label, kind in kinds.items()}
    runs["float32, not exact"] = lambda: x.sum((2, 3), dtype=torch.float32)
    runs["mean of the authors' form"] = lambda: F.adaptive_avg_pool2d(x, 1)
    found = bench.time(runs, seconds=0.1)
    for label, row in found.items():
        equal = None
        if label in kinds:
            halves = [kinds[label](x[:, :, rows], pixels) for rows in (slice(0, 7), slice(7, None))]
            equal = bool(torch.equal(halves[0] + halves[1], kinds[label](x, pixels)))
        bench.add(sum=label, dtype=precision, **row, against=ratio(found, label, "exact, as it is"), in_parts_equal=equal)


def _in_float64(x: Tensor, pixels: int) -> Tensor:
    """Split like `pixel_sum`, after the conversion instead of before: twice the bytes, the same bits."""
    return pixel_sum(x.double(), pixels)


def _fixed_point(x: Tensor, pixels: int) -> Tensor:
    """One sum of integers; of images as large as `pixels` and means up to `LARGEST_MEAN`."""
    unit = 2.0 ** (62 - LARGEST_MEAN.bit_length() - (pixels - 1).bit_length())
    return (x.float() * unit).round_().long().sum((2, 3))


@stage("CUDA graphs of the untiled network, and its layout", 30)
def graphs(bench: Bench) -> None:
    if not bench.cuda:
        bench.add(note="needs CUDA")
        return
    for name, scale, precision in (
        ("ESC", 4, "float32"),
        ("ESC", 4, "float16"),
        ("ESC", 2, "float16"),
        ("ESC-lt", 4, "float16"),
    ):
        network = upscaler(bench, random_model(bench, name, scale), precision).network(DTYPES[precision])
        row: Row = {"network": f"{name} x{scale}", "dtype": precision}
        with bench.noting(row):
            row |= _graph_and_eager(bench, network, noise(bench, *input_size(bench, scale)))
        bench.add(**row)
        bench.clean()


def _graph_and_eager(bench: Bench, network: ESC, image: Tensor) -> Row:
    last = image.contiguous(memory_format=torch.channels_last)
    graph, out = _captured(network, last)
    kinds = {"contiguous": lambda: network(image), "channels_last": lambda: network(last), "graph": graph.replay}
    found = bench.time(kinds)
    with torch.inference_mode():
        graph.replay()
        differing = int((out != network(last)).sum())
    times = {label: row.get("ms") for label, row in found.items()}
    against = ratio(found, "graph", "channels_last")
    return times | {"mib": found["channels_last"].get("mib"), "graph_against_eager": against, "differing": differing}


def _captured(network: ESC, image: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode():
        with torch.cuda.stream(stream):
            for _ in range(2):
                network(image)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph):
            out = network(image)
    return graph, out


@stage("torch.compile of the untiled network", 120)
def compiled(bench: Bench) -> None:
    if not bench.cuda:
        bench.add(note="needs CUDA")
        return
    for name, scale, precision in (("ESC-lt", 4, "float16"), ("ESC-lt", 4, "float32")):
        if bench.left() < 40:
            bench.add(note="out of time")
            return
        network = upscaler(bench, random_model(bench, name, scale), precision).network(DTYPES[precision])
        image = noise(bench, *input_size(bench, scale)).contiguous(memory_format=torch.channels_last)
        found = bench.time(
            {"eager": partial(network, image), "compiled": partial(torch.compile(network, dynamic=False), image)}
        )
        for label, row in found.items():
            bench.add(network=f"{name} x{scale}", dtype=precision, what=label, **row, against=ratio(found, label, "eager"))
