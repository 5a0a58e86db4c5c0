"""Everything worth knowing about a GPU, in one call.

    PYTHONPATH=. python benchmarks/gpu.py --minutes 9 --out results

Needs torch, numpy, safetensors, huggingface-hub, Pillow and tifffile. The most telling comes first, what doesn't fit into
the minutes is left out, and what fails is noted while the rest goes on. After each row, `gpu.json` in the folder holds what
was found so far; in the end `gpu.md` has the tables, which are printed too. `--device cpu --tiny` tries it on any machine.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from gpu_stages import attention, exact, kernels, precision, speed, training  # noqa: E402
from gpu_stages.bench import STAGES, Bench, Stage, table  # noqa: E402

#: What is most worth knowing, first.
ORDER = (
    exact.machine,
    exact.golden,
    speed.paper,
    exact.equality,
    attention.attention,
    kernels.steps,
    kernels.profile,
    speed.chunks,
    precision.precision,
    exact.planned,
    exact.out_of_memory,
    speed.maps,
    speed.copies,
    kernels.layers,
    kernels.sums,
    speed.biases,
    kernels.graphs,
    training.training,
    kernels.compiled,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of gpu.json and gpu.md")
    parser.add_argument("--shared", type=Path, default=_shared(), help="folder with golden/ and data/, where there is one")
    parser.add_argument("--only", nargs="+", help="names of stages")
    parser.add_argument("--tiny", action="store_true", help="small images, for a try")
    args = parser.parse_args()
    logging.getLogger("esc_plugin").setLevel(logging.ERROR)
    args.out.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * args.minutes
    device = torch.device(args.device)
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)  # whose streams, events and memory are asked for
    bench = Bench(device, args.tiny, args.out, until, args.shared)
    bench.run(_chosen(args.only))
    text = summary(bench)
    (args.out / "gpu.md").write_text(text, encoding="utf-8")
    print(text)


def _shared() -> Path:
    return next((path for path in (ROOT / "shared", ROOT.parent / "shared") if path.is_dir()), ROOT / "shared")


def _chosen(names: list[str] | None) -> list[Stage]:
    by_name = {item.name: item for item in STAGES}
    return [by_name[name] for name in names or [run.__name__ for run in ORDER]]


def summary(bench: Bench) -> str:
    """Return all tables in Markdown."""
    parts = []
    for name, entry in bench.found["stages"].items():
        notes = "".join(f"\n{key}: {entry[key]}\n" for key in ("left_out", "error") if key in entry)
        parts.append(f"## {name}: {entry['about']}\n{notes}\n{table(entry['rows']) if entry['rows'] else ''}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
