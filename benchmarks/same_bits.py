"""Whether the same image always becomes the same bits, way by way, and how far two machines may be apart.

    PYTHONPATH=. python benchmarks/same_bits.py                          # the bundled models, in one process and in several
    PYTHONPATH=. python benchmarks/same_bits.py --models golden --quick  # those in shared/golden, in one process, two sizes
    PYTHONPATH=. python benchmarks/same_bits.py --models ESC-lt shared/golden/esc_lte.pth --precision bfloat16
    PYTHONPATH=. python benchmarks/same_bits.py --machines               # what may differ: other instructions, other kernels

Each way makes what the plain call makes, and is compared with it bit by bit (zeros have a sign). Printed are comparisons,
values, how many of them differ, the largest difference, and how many values fall on another level of 8 and of 16 bits.
A name of a published network is one of random weights.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import machine

from esc_plugin import EscError, Model, Upscaler, device, load_model
from esc_plugin.arrays.planes import TensorImage
from esc_plugin.cluster.exact import joined, run_exact
from esc_plugin.engine import Means, Plan, Run, areas_for
from esc_plugin.network import ESC, native_attention
from esc_plugin.network.config import released
from esc_plugin.network.grid import Region
from esc_plugin.survey import Survey
from esc_plugin.weights.model import read_model

MIB = 2**20
#: A pixel, a row, thin, below a window, odd, many windows.
SIZES = ((1, 1), (1, 9), (7, 3), (13, 14), (40, 97), (131, 110), (300, 210))
#: Of RIB networks, whose parameters don't tell it.
WINDOW_SIZES = {"esc_rib_x2": 8, "esc_rib_x4": 8}
#: What another machine may have: its name, and what stands in the environment for it.
MACHINES = {
    "AVX512 without later instructions": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "without llvmlite": {"SAME_BITS_ATTENTION": "torch"},
}
Pair = tuple[np.ndarray, np.ndarray]


@dataclass
class Tally:
    """What was compared, and what differed."""

    comparisons: int = 0
    values: int = 0
    floats: int = 0
    largest: float = 0.0
    eight: int = 0
    sixteen: int = 0

    def add(self, found: np.ndarray, expected: np.ndarray) -> None:
        """Compare two results of float32 values in 0..1 or a little beyond."""
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype == np.float32
        self.comparisons += 1
        self.values += found.size
        bits = [np.ascontiguousarray(array).view(np.uint32) for array in (found, expected)]
        if not (different := int((bits[0] != bits[1]).sum())):
            return
        self.floats += different
        self.largest = max(self.largest, float(np.abs(found - expected).max()))
        eight, sixteen = ((levels(found, n) != levels(expected, n)).sum() for n in (8, 16))
        self.eight, self.sixteen = self.eight + int(eight), self.sixteen + int(sixteen)

    def row(self, name: str) -> str:
        """Return a row of the table."""
        largest = f"{self.largest:.1e}" if self.floats else "0"
        counts = f"{self.comparisons} | {self.values:,} | {self.floats:,}"
        return f"| {name} | {counts} | {largest} | {self.eight:,} | {self.sixteen:,} |"


def levels(values: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(values.clip(0, 1).astype(np.float64) * (2**bits - 1))


def picture(size: tuple[int, int]) -> np.ndarray:
    """Return (H, W, 3) float32: soft shapes with noise."""
    rng = np.random.default_rng(size)
    rough = rng.random((size[0] // 8 + 2, size[1] // 8 + 2, 3)).repeat(8, 0).repeat(8, 1)[: size[0], : size[1]]
    return (0.8 * rough + 0.2 * rng.random((*size, 3))).astype(np.float32)


@dataclass
class Case:
    """A model, an image and what the plain call makes of it."""

    upscaler: Upscaler
    image: np.ndarray
    options: dict[str, Any]

    def __post_init__(self) -> None:
        self.expected = self.make()

    def make(self, upscaler: Upscaler | None = None, image: Any = None, **more: Any) -> np.ndarray:
        """Upscale."""
        found: np.ndarray = (upscaler or self.upscaler)(self.image if image is None else image, **self.options, **more)
        return found

    def other(self, **options: Any) -> Upscaler:
        """Return an upscaler of the same model."""
        return Upscaler(self.upscaler.model, device="cpu", precision=self.upscaler.precision, **options)


# ------------------------------------------------------------------ ways within a process


def repeats(case: Case) -> Iterator[Pair]:
    case.make(image=np.ascontiguousarray(case.image[::-1, ::-1]))  # another one between
    yield case.make(), case.expected
    with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
        yield case.make(), case.expected


def untiled(case: Case) -> Iterator[Pair]:
    """The network as a module, on the whole image, and on it as one of a batch."""
    network = case.upscaler.network(case.upscaler.dtype_for(32))
    image = torch.from_numpy(case.image).permute(2, 0, 1)[None]
    batch = torch.cat([image.flip(-1), image, image * 0.3])
    with torch.inference_mode():
        for found in (network(image, target(case))[0], network(batch, target(case))[1]):
            yield found.permute(1, 2, 0).contiguous().numpy(), case.expected


def memory_limits(case: Case) -> Iterator[Pair]:
    """All that `memory_limit` may come to: chunks of all sizes, and maps in memory and in files."""
    for limit in [*range(133 * MIB, 175 * MIB, 7 * MIB), *(2**n * MIB for n in range(8, 12))]:
        with suppress(EscError):  # too little
            yield case.make(case.other(memory_limit=limit)), case.expected
    for kibi, home in ((300, "disk"), (1024, "device"), (4096, "disk"), (64 * 1024, "device")):
        out, _ = engine(case, Plan(dict.fromkeys("abc", home), kibi * 1024))
        yield out, case.expected


def threads(case: Case) -> Iterator[Pair]:
    for count in (2, 3, 4):
        torch.set_num_threads(count)
        yield case.make(case.other(threads=count)), case.expected
        yield next(untiled(case))
    torch.set_num_threads(1)


def at_the_same_time(case: Case) -> Iterator[Pair]:
    with ThreadPoolExecutor(4) as pool:
        yield from [(found, case.expected) for found in pool.map(lambda _: case.make(), range(4))]


def layouts(case: Case) -> Iterator[Pair]:
    """The same values otherwise in memory."""
    for image in (np.asfortranarray(case.image), case.image[::-1].copy()[::-1], case.image.astype(">f4")):
        found = case.make(image=image)
        yield found.astype(np.float32), case.expected


def regions(case: Case) -> Iterator[Pair]:
    """Rendered with a survey that has been a text; chosen by chance, one of them a pixel."""
    survey = Survey.from_json(case.upscaler.survey(case.image, **case.options).to_json())
    rng = np.random.default_rng(case.image.shape)
    for number in range(6):
        (top, bottom), (left, right) = (sorted(rng.integers(0, n, 2)) for n in case.expected.shape[:2])
        bottom, right = (top + 1, left + 1) if number == 0 else (bottom + 1, right + 1)
        spans = (int(top), int(bottom)), (int(left), int(right))
        expected = case.expected[top:bottom, left:right]
        yield case.make(survey=survey, region=spans), expected
        yield engine_region(case, Region(spans[0][0], spans[1][0], spans[0][1], spans[1][1])), expected


def lazily(case: Case) -> Iterator[Pair]:
    side = max(max(case.expected.shape[:2]) // 3, 1)
    for chunks in (side, side + 7):
        yield case.upscaler.lazy(case.image, chunks=chunks, **case.options).compute(scheduler="threads"), case.expected


def engine(case: Case, plan: Plan, means: Means | None = None, wanted: Region | None = None) -> tuple[np.ndarray, Means]:
    """Run the engine with a plan that no limit may come to."""
    dtype, means = case.upscaler.dtype_for(32), means or Means()
    network = case.upscaler.network(dtype)
    geometry = network.geometry(*case.image.shape[:2], target(case))
    out = torch.full((1, 3, *geometry.output), float("nan"))
    source = TensorImage(torch.from_numpy(case.image).permute(2, 0, 1)[None])
    cpu, program = torch.device("cpu"), network.program(geometry)
    assert wanted is None or areas_for(program, geometry, wanted)
    Run(program, geometry, plan, source, TensorImage(out), cpu, dtype, means=means, wanted=wanted).execute()
    return out[0].permute(1, 2, 0).contiguous().numpy(), means


def engine_region(case: Case, region: Region) -> np.ndarray:
    plan = Plan(dict.fromkeys("abc", "device"), 300 * 1024)
    geometry = case.upscaler.network(torch.float32).geometry(*case.image.shape[:2], target(case))
    _, means = engine(case, plan)
    return engine(case, plan, means, geometry.feature_region(region))[0][region.slices]


def target(case: Case) -> tuple[int, int] | None:
    return case.expected.shape[:2] if case.upscaler.model.any_scale else None


WITHIN: dict[str, Callable[[Case], Iterator[Pair]]] = {
    "again, after another image, under autocast": repeats,
    "untiled, alone and in a batch": untiled,
    "memory limits": memory_limits,
    "2, 3 and 4 threads": threads,
    "four calls at the same time": at_the_same_time,
    "other strides and byte orders": layouts,
    "regions, with a survey": regions,
    "lazily, by dask's threads": lazily,
}

# ------------------------------------------------------------------ ways by other processes


def by_dask(case: Case, name: str) -> Iterator[Pair]:
    side = max(max(case.expected.shape[:2]) // 2, 1)
    lazy = case.upscaler.lazy(case.image, chunks=side, **case.options)
    yield lazy.compute(scheduler="processes", num_workers=2), case.expected


def by_workers(case: Case, name: str) -> Iterator[Pair]:
    for count in (2, 3):
        yield processes(case, name, count, {}), case.expected


def by_itself(case: Case, name: str) -> Iterator[Pair]:
    yield processes(case, name, 1, {}), case.expected


BETWEEN: dict[str, Callable[[Case, str], Iterator[Pair]]] = {
    "another process": by_itself,
    "2 and 3 workers, by torch.distributed": by_workers,
    "dask's processes": by_dask,
}


def processes(case: Case, name: str, count: int, environment: dict[str, str]) -> np.ndarray:
    """Let processes make the picture together."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
        found.close()
        out = Path(folder) / "out.npy"
        np.save(out, np.full_like(case.expected, np.nan))
        height, width = case.image.shape[:2]
        command = [sys.executable, __file__, "--models", name, "--precision", case.upscaler.precision]
        command += ["--worker", str(out), str(height), str(width)]
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
        ranks = [meeting | {"RANK": str(rank)} for rank in range(count)] if count > 1 else [{}]
        started = [subprocess.Popen(command, env=os.environ | environment | rank) for rank in ranks]
        codes = [process.wait() for process in started]
        assert not any(codes)
        return np.load(out)


def work(upscaler: Upscaler, out: Path, size: tuple[int, int]) -> None:
    """Be one of these processes."""
    result, image = np.load(out, mmap_mode="r+"), picture(size)
    options = options_for(upscaler.model, size)

    def write(index: Any, region: Region, values: np.ndarray) -> None:
        result[index][region.slices] = values
        result.flush()

    with joined() as group:
        run_exact(upscaler, image, upscaler.request(image, **options), group, write=write)


# ------------------------------------------------------------------ what is compared


def model_of(name: str) -> Model:
    if name in ("ESC", "ESC-lt", "ESC-FP", "ESC-Real"):
        torch.manual_seed(0)
        network = ESC(released(name, 4)).eval().requires_grad_(False)
        return Model(network, network.config, name, "random", "")
    if Path(name).exists():
        return read_model(Path(name), window_size=WINDOW_SIZES.get(Path(name).stem))
    return load_model(name)


def options_for(model: Model, size: tuple[int, int]) -> dict[str, Any]:
    options: dict[str, Any] = {"intensity": "range"}
    return options | {"size": (max(round(size[0] * 2.3), 1), max(round(size[1] * 1.9), 1))} if model.any_scale else options


def case_of(name: str, size: tuple[int, int], precision: str) -> Case:
    model = model_of(name)
    return Case(Upscaler(model, device="cpu", precision=precision, threads=1), picture(size), options_for(model, size))


def names_of(given: list[str]) -> list[str]:
    if given != ["golden"]:
        return given
    folder = Path(__file__).parents[2] / "shared" / "golden"
    kinds = (".pth", ".safetensors")
    return [str(path) for path in sorted(folder.iterdir()) if path.suffix in kinds and ".io." not in path.name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["esc-nano-x2", "esc-nano-x4"])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--quick", action="store_true", help="two sizes, one process")
    parser.add_argument("--machines", action="store_true", help="what may differ")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if os.environ.get("SAME_BITS_ATTENTION") == "torch":
        native_attention.compiler = lambda: ""
    if asked.worker:
        out, *size = asked.worker
        height, width = map(int, size)
        work(case_of(asked.models[0], (1, 1), asked.precision).upscaler, Path(out), (height, width))
        return
    device.cores = lambda: 4  # threads that a machine of two cores has by turns give the same bits
    names, table = names_of(asked.models), {}
    for name in names:
        for size in SIZES[1:5:3] if asked.quick else SIZES[-1:] if asked.machines else SIZES:
            case = case_of(name, size, asked.precision)
            for row, pairs in rows(case, name, asked, size):
                tally = table.setdefault(row, Tally())
                for pair in pairs:
                    tally.add(*pair)
    print(f"{machine(1)}; {asked.precision}, {len(names)} models")
    print("\n| | comparisons | values | differ | by up to | other 8-bit levels | other 16-bit levels |")
    print("|---|---|---|---|---|---|---|")
    for row, tally in table.items():
        print(tally.row(row))
    sys.exit(not asked.machines and any(tally.floats for tally in table.values()))


def rows(case: Case, name: str, asked: argparse.Namespace, size: tuple[int, int]) -> Iterator[tuple[str, Iterator[Pair]]]:
    if asked.machines:
        for row, environment in MACHINES.items():
            yield row, iter([(processes(case, name, 1, environment), case.expected)])
        return
    yield from ((row, way(case)) for row, way in WITHIN.items())
    if not asked.quick and size in (SIZES[1], SIZES[5]):  # processes take seconds to begin
        yield from ((row, between(case, name)) for row, between in BETWEEN.items())


if __name__ == "__main__":
    main()
