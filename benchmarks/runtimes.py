"""Time and memory of exported files in other runtimes, beside `Upscaler` on the same machine.

    PYTHONPATH=. python benchmarks/runtimes.py --models esc-nano-x2 --calibrate photos/ --threads 1
    PYTHONPATH=. python benchmarks/runtimes.py --runtimes "ONNX Runtime" "onnxruntime-web" --web folder/with/node_modules

Each runtime lives in a process of its own, they run in turn, round after round, and a ratio is of two runs of one round (see
quiet.py). The first is what the ratios are to. A runtime that isn't installed is left out, and said so. The peak is what the
process took beyond what it had with the network loaded; of Node.js it is that of its process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
from quiet import BusyError, Others, check_quiet, quiet_rounds
from speed_tables import table
from timing import Taken, in_turn, machine, measured, ratios, spread, trim

Run = Callable[[np.ndarray], np.ndarray]
#: Edge of the image that each runs once before it is timed.
WARM = 64


def open_torch(path: Path, threads: int) -> Run:
    """Open a model's name, left in a file, with `Upscaler` in float32."""
    import torch

    from esc_plugin import Upscaler, load_model

    torch.set_num_threads(threads)
    upscaler = Upscaler(load_model(path.read_text("utf-8")), device="cpu", precision="float32")
    return lambda image: upscaler.run(torch.from_numpy(image)).numpy()


def open_onnx(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(["upscaled"], {"image": image})[0]


def open_openvino(path: Path, threads: int) -> Run:
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(path, "CPU", options)
    return lambda image: compiled({"image": image})["upscaled"]


def open_ncnn(path: Path, threads: int) -> Run:
    import ncnn

    from esc_plugin.export.ncnn import SHORTER

    network = ncnn.Net()
    network.opt.num_threads = threads
    for switch in SHORTER:
        setattr(network.opt, switch, False)
    network.load_param(str(path))
    network.load_model(str(path.with_suffix(".bin")))

    def run(image: np.ndarray) -> np.ndarray:
        extractor = network.create_extractor()
        extractor.input("data", ncnn.Mat(image[0]).clone())
        return np.array(extractor.extract("output")[1])[None]

    return run


def open_executorch(path: Path, threads: int) -> Run:
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime as Executor

    _unsafe_reset_threadpool(threads)
    program = Executor.get().load_program(path)  # a method needs it as long as it lives
    method = program.load_method("forward")
    return lambda image: (method.execute([torch.from_numpy(image)])[0].numpy().copy(), program)[0]


class Node:
    """onnxruntime-web in Node.js: WebAssembly, as in a browser without a graphics card."""

    def __init__(self, path: Path, threads: int) -> None:
        script = Path(__file__).with_name("runtimes.mjs")
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        # The library is looked for beside the script, unless it is told where.
        self.child = subprocess.Popen(["node", script, path, str(threads), os.environ.get("ESC_WEB", "")], **pipes)
        self.peak = 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        assert self.child.stdin
        assert self.child.stdout
        self.child.stdin.write(np.array(image.shape[2:], "<u4").tobytes() + image.tobytes())
        self.child.stdin.flush()
        height, width, kibibytes = np.frombuffer(self.child.stdout.read(12), "<u4")
        self.peak = int(kibibytes) * 1024
        return np.frombuffer(self.child.stdout.read(int(height) * int(width) * 12), "<f4").reshape(1, 3, height, width)


@dataclass(frozen=True)
class Runtime:
    """A way to run a network.

    Attributes
    ----------
    name, precision, suffix : str
        For people; of the file that it opens.
    one_size : bool
        Whether that is for images of one size.
    package : str
        What must be installed.
    open : callable
        ``open(path, threads)`` returns what makes ``upscaled`` of ``image``.
    """

    name: str
    precision: str
    suffix: str
    package: str
    open: Callable[[Path, int], Run]
    one_size: bool = False

    @property
    def label(self) -> str:
        return f"{self.name}, {self.precision}"

    def there(self, web: Path | None) -> bool:
        if self.open is Node:
            return web is not None
        return find_spec(self.package) is not None


RUNTIMES = (
    Runtime("Upscaler", "float32", ".txt", "torch", open_torch),
    *(Runtime("ONNX Runtime", precision, ".onnx", "onnxruntime", open_onnx) for precision in ("float32", "float16", "int8")),
    Runtime("OpenVINO", "float32", ".xml", "openvino", open_openvino),
    *(Runtime("ncnn", precision, ".param", "ncnn", open_ncnn) for precision in ("float32", "float16")),
    Runtime("ExecuTorch", "float32", ".pte", "executorch", open_executorch, one_size=True),
    *(Runtime("onnxruntime-web", precision, ".onnx", "", Node) for precision in ("float32", "float16", "int8")),
)


def file_for(runtime: Runtime, model: str, folder: Path, pictures: Sequence[Path], side: int) -> Path:
    """Write what a runtime opens, unless another one did."""
    parts = [model, runtime.precision, runtime.suffix[1:], *([str(side)] if runtime.one_size else [])]
    path = folder / f"{'-'.join(parts)}{runtime.suffix}"
    if path.exists():
        return path
    if runtime.suffix == ".txt":
        path.write_text(model, "utf-8")
        return path
    from esc_plugin import load_model
    from esc_plugin.export.export import export

    given = pictures if runtime.precision == "int8" else ()
    size = (side, side) if runtime.one_size else None
    export(load_model(model), path, precision=runtime.precision, pictures=given, size=size)
    return path


class Candidate:
    """A runtime in a process of its own."""

    def __init__(self, runtime: Runtime, path: Path, side: int, threads: int) -> None:
        command = [sys.executable, __file__, "--serve", json.dumps([RUNTIMES.index(runtime), str(path), side, threads])]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.runtime, self.path = runtime, path
        self.child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, **pipes)
        self.hear()  # it is ready

    def hear(self) -> Any:
        assert self.child.stdout
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(f"{self.runtime.label} could not be run; what it said is above.")
        return json.loads(line)

    def run(self) -> Taken:
        assert self.child.stdin
        self.child.stdin.write("run\n")
        return Taken(*self.hear())

    def end(self) -> None:
        for process in [*psutil.Process(self.child.pid).children(recursive=True), self.child]:
            process.kill()
        self.child.communicate()


def serve(index: int, path: str, side: int, threads: int) -> None:
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print isn't for the process that listens
    image = np.random.default_rng(0).random((1, 3, side, side), np.float32)
    run = RUNTIMES[index].open(Path(path), threads)
    trim()
    idle = psutil.Process().memory_info().rss
    warm = side if RUNTIMES[index].one_size else WARM
    run(np.ascontiguousarray(image[..., :warm, :warm]))
    print("true", file=told, flush=True)
    for _ in sys.stdin:
        taken = measured(lambda: run(image), idle)
        print(json.dumps([taken.seconds, taken.cpu, getattr(run, "peak", taken.peak)]), file=told, flush=True)


def size_of(path: Path) -> float:
    """Return the bytes of a file and of those that belong to it."""
    return sum(part.stat().st_size for part in path.parent.glob(f"{path.stem}.*"))


def compare(files: Sequence[tuple[Runtime, Path]], args: argparse.Namespace, others: Others) -> list[dict[str, str]]:
    """Run runtimes in turn and return the rows of a table."""
    with ExitStack() as running:
        candidates: list[Candidate] = []
        for runtime, path in files:
            candidates.append(Candidate(runtime, path, args.side, args.threads))
            running.callback(candidates[-1].end)

        def round_of(number: int) -> dict[str, Taken]:
            return {each.runtime.label: each.run() for each in in_turn(candidates, number)}

        rounds, loads, thrown = quiet_rounds(round_of, args.repeat, others)
    print(f"Other programs took {min(loads):.2f} to {max(loads):.2f} cores; rounds thrown away: {thrown}.", file=sys.stderr)
    first = [found[files[0][0].label].seconds for found in rounds]
    rows = []
    for runtime, path in files:
        taken = [found[runtime.label] for found in rounds]
        seconds = [each.seconds for each in taken]
        rows.append(
            {
                "runtime": runtime.label,
                "seconds": spread(seconds),
                "times as long as the first": spread(ratios(seconds, first)),
                "peak MiB": f"{max(each.peak for each in taken) / 2**20:.0f}",
                "file KB": "" if runtime.suffix == ".txt" else f"{size_of(path) / 1000:.0f}",
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["esc-nano-x2"])
    parser.add_argument("--runtimes", nargs="+", metavar="NAME", help="of: " + ", ".join({r.name: 0 for r in RUNTIMES}))
    parser.add_argument("--calibrate", type=Path, metavar="FOLDER", help="pictures for int8, which is left out without")
    parser.add_argument("--web", type=Path, metavar="FOLDER", help="in whose node_modules onnxruntime-web is")
    parser.add_argument("--files", type=Path, metavar="FOLDER", help="where exported files are kept for the next time")
    parser.add_argument("--side", type=int, default=256, help="edge of the image")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--export-only", action="store_true", help="write the files, and time nothing")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(*json.loads(args.serve))
    from esc_plugin.export.quantize import pictures_in

    if args.web:
        os.environ["ESC_WEB"] = str(args.web.resolve())
    pictures = pictures_in(args.calibrate) if args.calibrate else ()
    chosen = [r for r in RUNTIMES if not args.runtimes or r.name in ("Upscaler", *args.runtimes)]
    for missing in dict.fromkeys(r.name for r in chosen if not r.there(args.web)):
        print(f"{missing} isn't installed here, and is left out.", file=sys.stderr)
    chosen = [r for r in chosen if r.there(args.web) and (pictures or r.precision != "int8")]
    with TemporaryDirectory() as temporary:
        folder = args.files or Path(temporary)
        files = {model: [(r, file_for(r, model, folder, pictures, args.side)) for r in chosen] for model in args.models}
        if args.export_only:
            return None
        others = Others()
        print(f"{machine(args.threads)}. An image of {args.side} x {args.side}, {args.repeat} rounds.\n")
        try:
            check_quiet(others)
            for model, named in files.items():
                print(f"{model}:\n\n{table(compare(named, args, others))}\n", flush=True)
        except BusyError as error:
            sys.exit(str(error))
    return None


if __name__ == "__main__":
    main()
