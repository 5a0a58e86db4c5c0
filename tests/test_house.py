"""The walls of the house: doors hold no arithmetic, are typed strictly, and a new one is as easy as the guide says."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esc_plugin import upscale
from esc_plugin.arrays.layout import DTYPES

from .guide import module_of_the_guide
from .systems import symlink

ROOT = Path(__file__).parents[1]
#: The folder of every door.
DOORS = ("nodes", "napari_esc", "esc_plugin/cli")
#: Libraries that compute.
COMPUTING = ("scipy", "skimage", "cv2", "torchvision", "lightning")
#: What a door may use of those that hold arrays too: to make and name them, and to place and colour them on a screen.
HOLDING = {
    "torch": {"Tensor", "device", "dtype", "float16", "float32", "bfloat16", "cuda", "get_num_threads"},
    "numpy": {
        *("ndarray", "array", "asarray", "zeros", "uint8", "uint16"),
        *("floor", "ceil", "clip", "abs", "nanmax", "any", "eye", "allclose"),
    },
}
#: Methods of arrays and tensors that compute.
METHODS = {"mean", "std", "var", "median", "quantile", "cumsum", "dot", "matmul", "einsum", "conv2d", "interpolate", "clamp"}


def door_files() -> list[Path]:
    return [path for door in DOORS for path in sorted((ROOT / door).rglob("*.py"))]


def arithmetic(text: str) -> list[str]:
    """Return what a module uses of the kind that the core is for."""
    nodes, found = list(ast.walk(ast.parse(text))), []
    # What each imported name stands for.
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.asname or alias.name: alias.name for node in imports for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if computes(alias.name)]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found += [name for alias in node.names if computes(name := f"{node.module}.{alias.name}")]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            found += [name] if computes(name := f"{names[node.value.id]}.{node.attr}") else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            of_a_module = isinstance(node.func.value, ast.Name) and node.func.value.id in names
            found += [] if of_a_module else [node.func.attr]
    return found


def computes(name: str) -> bool:
    """Tell whether a dotted name is one of a library that computes."""
    top, _, rest = name.partition(".")
    return top in COMPUTING or bool(top in HOLDING and rest and rest.partition(".")[0] not in HOLDING[top])


@pytest.mark.parametrize("path", door_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_doors_hold_no_arithmetic(path: Path) -> None:
    assert arithmetic(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        "from scipy import ndimage",
        "import torch.nn.functional as F",
        "from torch.nn.functional import interpolate",
        "import numpy.linalg",
        "import numpy as np\nnp.fft.fft2(image)",
        "import numpy as np\nblurred = np.convolve(row, kernel)",
        "import numpy as arrays\nblurred = arrays.convolve(row, kernel)",
        "import torch\ntorch.matmul(a, b)",
        "small = image.reshape(4, 2, 4, 2).mean((1, 3))",
    ],
)
def test_planted_arithmetic_is_seen(planted: str) -> None:
    assert arithmetic(planted)


@pytest.mark.parametrize("module", ["esc_plugin", "napari_esc"])
def test_every_module_that_a_door_opens_with_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; assert not {{'torch', 'napari', 'qtpy'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.slow
def test_the_nodes_are_typed_strictly(tmp_path: Path) -> None:
    """They reach for the core beside them, so mypy must see both as parts of one package, as ComfyUI does."""
    pytest.importorskip("mypy", reason="needs mypy")
    symlink(tmp_path / "pack", ROOT)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--follow-imports", "silent"]
    done = subprocess.run([*command, "-p", "pack.nodes"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The door that the guide makes, open."""
    made = dict(vars(module_of_the_guide("A door", "door_of_the_guide", tmp_path, monkeypatch)))
    server = made["server"] = ThreadingHTTPServer(("127.0.0.1", 0), made["Service"])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def post(service: dict[str, Any], body: bytes) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(*service["server"].server_address, timeout=60)
    connection.request("POST", "/", body)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def as_npy(image: np.ndarray) -> bytes:
    np.save(file := io.BytesIO(), image)
    return file.getvalue()


def test_the_door_of_the_guide_opens(service: dict[str, Any]) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (24, 30)).astype(np.uint16)
    status, headers, body = post(service, as_npy(image))
    assert status == 200
    np.testing.assert_array_equal(np.load(io.BytesIO(body)), upscale(image, "esc-nano-x2"))
    record = json.loads(headers["Provenance"])
    assert (record["model"], record["size"]) == ("esc-nano-x2", [48, 60])


def test_the_door_of_the_guide_says_what_is_wrong(service: dict[str, Any]) -> None:
    status, _, body = post(service, as_npy(np.zeros((2, 3), np.complex64)))
    assert status == 400
    assert body.decode() == "an image can't be complex64; it can be " + ", ".join(DTYPES) + "."
    service["STOP"].set()
    status, _, body = post(service, as_npy(np.zeros((24, 30), np.uint8)))
    assert (status, body) == (503, b"cancelled.")
