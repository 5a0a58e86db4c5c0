"""The package as it is installed and imported."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import esc_plugin

ROOT = Path(__file__).parents[1]
LIGHT = [
    "esc_plugin",
    "esc_plugin.errors",
    "esc_plugin.device",
    "esc_plugin.weights",
    "esc_plugin.catalog.menu",
    "napari_esc",
]


@pytest.mark.parametrize("module", LIGHT)
def test_importing_does_not_load_torch(module: str) -> None:
    code = f"import sys, {module}; assert 'torch' not in sys.modules, [m for m in sys.modules if 'torch' in m][:3]"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_public_names_are_there() -> None:
    for name in esc_plugin.__all__:
        assert getattr(esc_plugin, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = esc_plugin.nothing


def test_the_core_imports_itself_relatively() -> None:
    """A bare clone inside a host must work. The direction of imports is held by import-linter."""
    for path in (ROOT / "esc_plugin").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) esc_plugin", path.read_text(encoding="utf-8"), re.M), path


def sdist_of(root: Path) -> set[str]:
    sdist = pytest.importorskip("hatchling.builders.sdist")
    return {file.distribution_path for file in sdist.SdistBuilder(str(root)).recurse_included_files()}


def test_an_sdist_takes_no_pictures_that_lie_in_the_clone(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("LICENSE", "photo.png", "tests/test_a.py"):
        (tmp_path / name).touch()
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    assert sdist_of(tmp_path) == {"LICENSE", "pyproject.toml", "tests/test_a.py"}


def test_an_sdist_has_all_that_the_repository_has() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository")
    git = ["git", "-c", "safe.directory=*", "ls-files"]  # also where somebody else made the clone
    kept = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert {name.split("/")[0] for name in kept} - {".gitattributes", ".gitignore"} <= {
        name.split("/")[0] for name in sdist_of(ROOT)
    }


@pytest.mark.slow
def test_the_wheel_holds_what_it_should(tmp_path: Path) -> None:
    pytest.importorskip("build", reason="needs the package build")
    # Without isolation: the build's needs are test needs too, and no registry is asked.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"esc_plugin", "napari_esc"}
    for name in (
        *("esc_plugin/manifest.yaml", "esc_plugin/catalog/bundled/esc-nano-x2.safetensors", "napari_esc/napari.yaml"),
        *("esc_plugin/page/static/index.html", "esc_plugin/page/static/manifest.webmanifest"),
    ):
        assert name in names
    assert not [name for name in names if name.endswith(".wasm")]  # the page's runtime is downloaded
    assert wheel.stat().st_size < 12e6
