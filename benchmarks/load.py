"""Many jobs, many files, large files: does anything grow, and is anything left behind?

    PYTHONPATH=. python benchmarks/load.py mixed --minutes 60

Each stage prints a table, and ends with exit code 1 if a promise doesn't hold. ``python benchmarks/load.py STAGE --help``
says what it can be told.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).parent)]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    stages = made.add_subparsers(dest="stage", required=True, metavar="STAGE")

    mixed = stages.add_parser("mixed", help="mixed jobs in one process, for an hour")
    mixed.add_argument("--minutes", type=float, default=60)
    mixed.add_argument("--seed", type=int, default=0)
    mixed.add_argument("--only", nargs="+", metavar="JOB", help="names of jobs, as the line below the table has them")
    mixed.add_argument("--out", type=Path, help="a file for every look, as lines of JSON")

    folder = stages.add_parser("folder", help="folders of 1,000 to 10,000 small images, by the command line")
    folder.add_argument("--images", type=int, nargs="+", default=[1000, 3000, 10_000])
    folder.add_argument("--side", type=int, default=48, help="pixels")
    folder.add_argument("--model", default="esc-nano-x2")

    tiff = stages.add_parser(
        "tiff", help="images and stacks of 2 GB, and a result of more than 4 GiB; it needs 5 GB of disk"
    )
    tiff.add_argument("--gigabytes", type=float, default=1, help="of memory, the limit")
    tiff.add_argument("--seconds", type=float, default=60, help="after which each command is stopped")
    tiff.add_argument("--folder", type=Path, help="where the files are made")

    comfy = stages.add_parser("comfy", help="1,000 prompts in the queue of a ComfyUI with this pack")
    comfy.add_argument("--server", default="http://127.0.0.1:8188", help="its address, on this machine")
    comfy.add_argument("--temporary", type=Path, default=Path("/nowhere"), help="its folder of temporary files, TMPDIR")
    comfy.add_argument("--jobs", type=int, default=1000)
    comfy.add_argument("--side", type=int, default=64, help="pixels of an image at most")
    comfy.add_argument("--models", type=int, default=3, help="how many models")
    comfy.add_argument("--seed", type=int, default=0)
    comfy.add_argument("--stock", action="store_true", help="ComfyUI's own Upscale Image By instead, to compare with")
    comfy.add_argument("--out", type=Path, help="a file for every look, as lines of JSON")

    napari = stages.add_parser("napari", help="200 runs of the panel in one napari; it needs a display, or xvfb-run")
    napari.add_argument("--runs", type=int, default=200)
    napari.add_argument("--seed", type=int, default=0)
    napari.add_argument("--out", type=Path, help="a file for every look, as lines of JSON")
    return made


def main() -> int:
    args = parser().parse_args()
    code: int = import_module(f"load_stages.{args.stage}").run(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
