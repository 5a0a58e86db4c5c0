"""Try the lowest or the newest dependencies: ``python tests/floors.py lowest --python 3.10 zarr video``.

Each extra gets a fresh environment with the package as users install it, `pip check`, and the tests that it is about.
It needs uv (``pip install uv``) and nothing else, and uv reads variables: ``UV_TORCH_BACKEND=cpu`` spares gigabytes of CUDA,
``UV_PRERELEASE=allow`` tries what isn't released yet.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".venv-floors"
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
#: What runs the tests, and the command line that many go through. Where an extra doesn't bring one it is no promise of that
#: extra, so it takes the newest that fits what is installed.
TOOLS = ["pytest", "pytest-timeout", "hypothesis", "typer", "rich"]
#: The tests that each extra is about; "core" is the package without any.
SHARES = {
    "core": [
        "package",
        "network",
        "heads",
        "detect",
        "checkpoint",
        "catalog",
        "hub",
        "arrays",
        "tensors",
        "memory",
        "texts",
    ],
    "cli": ["cli_models", "duration", "typed_yaml"],
    "files": ["hostile_files", "files", "tiff_region", "formats"],
    "fast": ["native_attention"],
    "zarr": ["zarr_files", "ome_files", "lazy_result"],
    "cluster": ["render"],
    "train": ["train_parts", "strict_yaml"],
    "evaluate": ["evaluate"],
    "export": ["export_places", "export_quantize"],
    "inspect": ["inspect"],
    "video": ["video", "video_cli"],
    "napari": ["../napari/test_manifest.py", "../napari/test_files.py", "../napari/test_options.py"],
    "openvino": ["export_mobile"],
    "coreml": ["export_mobile"],
    "executorch": ["export_mobile"],
    "ncnn": ["export_ncnn"],
}
#: Extras that are tried when none is named: those that tie the package to one version of torch have `make test-export`.
USUAL = [name for name in SHARES if name not in ("openvino", "coreml", "executorch", "ncnn")]
#: What the tests of an extra need besides.
MORE = {"files": ["opencv-python-headless"], "napari": ["pytest-qt", "pytest-xvfb", "napari[pyqt6]"]}


def uv(*arguments: str, output: IO[str] | None = None) -> None:
    """Run uv from the root of the clone."""
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True, cwd=ROOT, stdout=output)


def make_environment(extra: str, python: str, resolution: str) -> Path:
    """Install the package with an extra and what tests it, and return the environment's Python."""
    shutil.rmtree(PLACE, ignore_errors=True)
    uv("venv", "--quiet", "--python", python, str(PLACE))
    interpreter = PLACE / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    target = ("--quiet", "--python", str(interpreter))
    wanted = "." if extra == "core" else f".[{extra}]"
    uv("pip", "install", *target, "--resolution", resolution, "--refresh-package", "esc-plugin", wanted)
    uv("pip", "check", "--python", str(interpreter))
    kept = PLACE / "constraints.txt"
    with kept.open("w", encoding="utf-8") as file:
        uv("pip", "freeze", "--python", str(interpreter), "--exclude", "esc-plugin", output=file)
    uv("pip", "install", *target, "--constraint", str(kept), *TOOLS, *MORE.get(extra, ()))
    uv("pip", "list", "--python", str(interpreter))
    return interpreter


def passes(extra: str, python: str, resolution: str) -> bool:
    """Tell whether an extra installs and its tests pass. Old packages may warn; new ones must not."""
    shares = [f"tests/{name[3:]}" if name.startswith("../") else f"tests/test_{name}.py" for name in SHARES[extra]]
    warnings = ["-o", "filterwarnings="] if resolution != "highest" else []
    try:
        pytest = [str(make_environment(extra, python, resolution)), "-m", "pytest", "-q", *warnings]
        subprocess.run([*pytest, "tests/test_extras.py"], check=True, cwd=ROOT)
        subprocess.run([*pytest, "-m", "not slow and not large", *shares], check=True, cwd=ROOT)
    except subprocess.CalledProcessError as error:
        print(f"{extra}: exit code {error.returncode} of {' '.join(error.cmd)}", flush=True)
        return False
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)
    return True


def main() -> None:
    """Try each extra, and end with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=RESOLUTIONS)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help=f"of {', '.join(SHARES)}")
    parser.add_argument("--python", default=sys.executable, help="a version or a path; by default the one that runs this")
    asked = parser.parse_intermixed_args()
    if unknown := set(asked.extras) - set(SHARES):
        parser.error(f"unknown extras {sorted(unknown)}; known are {', '.join(SHARES)}")
    results = {extra: passes(extra, asked.python, RESOLUTIONS[asked.which]) for extra in asked.extras or USUAL}
    for extra, passed in results.items():
        print(f"{extra:12}{asked.which:8}{asked.python}  {'passed' if passed else 'FAILED'}")
    sys.exit(not all(results.values()))


if __name__ == "__main__":
    main()
