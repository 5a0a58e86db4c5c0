"""Fixtures of the napari tests. They need napari, a Qt binding and a display (pytest-xvfb starts one with Xvfb)."""

from __future__ import annotations

import atexit
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDED = ("napari", "pytestqt", "dask", "zarr")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
HERE = Path(__file__).parent

if MISSING:
    collect_ignore_glob = ["test_*.py"]
else:
    # The viewers of napari's own fixture reset the settings and save them: never the user's.
    homes = tempfile.TemporaryDirectory(prefix="esc-napari-", ignore_cleanup_errors=True)
    atexit.register(homes.cleanup)  # its own finalizer would warn
    os.environ["NAPARI_CONFIG"] = str(Path(homes.name) / "settings.yaml")
    os.environ["XDG_CONFIG_HOME"] = os.environ["ESC_MODELS_DIR"] = homes.name


@pytest.fixture(autouse=True)
def _workers_end() -> Iterator[None]:
    """Leave no thread and no survey to the next test; a thread that runs when the interpreter ends aborts it."""
    yield
    if not MISSING:
        from napari.qt.threading import GeneratorWorker

        from esc_plugin.session import views

        GeneratorWorker.await_workers(20_000)
        views.recent.clear()


@pytest.fixture(scope="session")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a weights file that repeats pixels: an ESC with parameters of 0 is nothing but its skip."""
    return make_nearest(tmp_path_factory.mktemp("weights") / "nearest-x2.safetensors")


def make_nearest(path: Path, scale: int = 2) -> str:
    import torch
    from safetensors.torch import save_file

    from esc_plugin.network import ESC, EscConfig

    small = EscConfig(
        dim=8,
        pdim=4,
        kernel_size=3,
        n_blocks=1,
        conv_blocks=1,
        window_size=8,
        num_heads=2,
        proj_hidden=8,
        conv_hidden=8,
        scale=scale,
    )
    save_file({name: torch.zeros_like(value) for name, value in ESC(small).state_dict().items()}, path)
    return str(path)
