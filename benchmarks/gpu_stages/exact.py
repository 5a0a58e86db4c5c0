"""What the device is, and whether it computes what was promised."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .bench import MIB, Bench, Row, stage
from .networks import DTYPES, MAPS, bundled_models, engine, noise, random_model, upscaler


@stage("the machine", 20)
def machine(bench: Bench) -> None:
    import numpy

    cpu = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "os": platform.platform(),
    }
    bench.add(**cpu, threads=torch.get_num_threads(), device=str(bench.device), **(_card() if bench.cuda else {}))


def _card() -> Row:
    card: Any = torch.cuda.get_device_properties(torch.cuda.current_device())
    free, total = torch.cuda.mem_get_info()
    return {
        "name": card.name,
        "capability": f"{card.major}.{card.minor}",
        "multiprocessors": card.multi_processor_count,
        "l2_mib": getattr(card, "L2_cache_size", 0) / MIB,
        "total_mib": total / MIB,
        "free_mib": free / MIB,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_cudnn": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "driver_and_clocks": _smi(),
        "triton": _version("triton"),
    }


def _smi() -> str:
    query = "driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@contextmanager
def tf32(on: bool) -> Any:
    """Let convolutions and matrix products round their factors to 10 bits, or not."""
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = on
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


@stage("golden vectors: distance to what the trainers' own programs computed", 60)
def golden(bench: Bench) -> None:
    from esc_plugin.weights.model import read_model
    from tests.golden import Golden

    folder = bench.shared / "golden"
    paths = [
        path for path in sorted(folder.glob("*")) if path.suffix in (".safetensors", ".pth") and ".io." not in path.name
    ]
    if not paths:
        bench.add(note=f"no golden vectors in {folder.name!r}")
    for path in paths[: 3 if bench.tiny else None]:
        if bench.left() < 0:
            bench.add(note="out of time")
            return
        case: Row = {"name": path.name.split(".")[0]}
        with bench.noting(case), torch.inference_mode():
            model = read_model(path, window_size=Golden(path).window_size)
            for name, dtype in DTYPES.items():
                for on in (False, True) if dtype == torch.float32 and bench.cuda else (False,):
                    network = upscaler(bench, model, name).network(dtype)
                    with tf32(on):
                        differ = [
                            (network(given.to(bench.device), tuple(wanted.shape[-2:])).cpu() - wanted).abs()
                            for given, wanted in Golden(path).pairs()
                        ]
                    label = name + (" tf32" if on else "")
                    case[f"{label} max"] = max(float(d.max()) for d in differ)
                    case[f"{label} mean"] = sum(float(d.mean()) for d in differ) / len(differ)
        bench.add(**case)


@stage("the engine against the untiled network: differing values, largest difference", 60)
def equality(bench: Bench) -> None:
    models = [
        random_model(bench, "ESC-lt", 4),
        random_model(bench, "ESC-FP", 2),
        random_model(bench, "ESC-Real", 4),
        *bundled_models(),
    ]
    for model in models[: 1 if bench.tiny else None]:
        side = 80 if bench.tiny else 384
        for name, dtype in DTYPES.items():
            if bench.left() < 0:
                bench.add(note="out of time")
                return
            network = upscaler(bench, model, name).network(dtype)
            image = noise(bench, side, side + 24)
            with torch.inference_mode():
                whole = network(image)
            for chunk in (4, 32, 256, 2048):
                _compare(bench, model.name, name, f"chunks of {chunk} MiB", whole, _run(bench, network, image, whole, chunk))
            for home in ("host", "disk"):
                found = _run(bench, network, image, whole, 32, home)
                _compare(bench, model.name, name, f"maps on {home}", whole, found)
            with torch.inference_mode():
                _compare(bench, model.name, name, "the same again", whole, network(image))


def _run(bench: Bench, network: Any, image: Tensor, like: Tensor, chunk_mib: int, home: Any = "device") -> Tensor:
    out = torch.full_like(like, float("nan"))  # what nobody writes shows
    engine(bench, network, image, out, chunk_mib * MIB, dict.fromkeys(MAPS, home)).execute()
    return out


def _compare(bench: Bench, model: str, dtype: str, what: str, whole: Tensor, found: Tensor) -> None:
    differs = int((found != whole).sum())
    bench.add(model=model, dtype=dtype, what=what, differing=differs, largest=float((found - whole).abs().max()))


@stage("memory: the plan's prediction and the real peak, in MiB", 60)
def planned(bench: Bench) -> None:
    sides = (64,) if bench.tiny else (256, 512, 1024, 2048, 4096)
    for model in (random_model(bench, "ESC-lt", 4), random_model(bench, "ESC", 2), random_model(bench, "ESC-Real", 4)):
        for name, dtype in DTYPES.items():
            for side in sides:
                if bench.left() < 0:
                    bench.add(note="out of time")
                    return
                user = upscaler(bench, model, name)
                user.network(dtype)
                row: Row = {"model": model.name, "dtype": name, "side": side}
                with bench.noting(row):
                    plan = user.plan(side, side)
                    image = torch.rand(1, 3, side, side)
                    row |= _peaks(bench, lambda: user.run(image)) | {  # noqa: B023  # called at once
                        "predicted": plan.device_bytes / MIB,
                        "chunk": plan.chunk_bytes / MIB,
                        "homes": " ".join(plan.storage.values()),
                    }
                bench.add(**row)
                bench.clean()


def _peaks(bench: Bench, run: Callable[[], object]) -> Row:
    """Return what a run takes at most: tensors, and with what the allocator keeps for later."""
    if not bench.cuda:
        run()
        return {}
    bench.clean()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    run()
    torch.cuda.synchronize()
    after = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return dict(zip(("allocated", "reserved"), ((b - a) / MIB for a, b in zip(before, after, strict=True)), strict=True))


@stage("out of memory under a cap: does it go on, with the same result", 40)
def out_of_memory(bench: Bench) -> None:
    if not bench.cuda:
        bench.add(note="needs CUDA")
        return
    network = upscaler(bench, random_model(bench, "ESC-lt", 4)).network()
    image = noise(bench, *((96, 96) if bench.tiny else (1024, 1024)))
    with torch.inference_mode():
        whole = _run(bench, network, image, torch.empty(1, 3, *(4 * n for n in image.shape[-2:]), device=bench.device), 64)
    total, maps = (
        torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory,
        4 * 64 * 4 * image[0, 0].numel(),
    )
    for spare in (2048, 1024, 512, 256, 64):
        bench.clean()
        cap = torch.cuda.memory_reserved() + maps + (spare + 192) * MIB  # with the output
        torch.cuda.set_per_process_memory_fraction(min(cap / total, 1.0))
        row: Row = {"beyond the maps, MiB": spare}
        try:
            with bench.noting(row):
                found = _run(bench, network, image, whole, 2048)
                row["differing"] = int((found != whole).sum())
                row["retries"] = torch.cuda.memory_stats().get("num_ooms")
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        bench.add(**row)
