"""What ComfyUI's registry reads of this repository, and what it makes of it: the pack that users install.

COMFYUI_TOOLS names the folder of programs with comfy-cli, comfy-test and comfy-import-guard: `make test-comfyui`.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from .comfy_stubs import GENERATIONS, ROOT, comfy, import_spandrel
from .metadata import pyproject

RAW = "https://raw.githubusercontent.com/esc-plugin/esc-plugin/main/"
#: What of ComfyUI a pack can refer to.
CORE = ("comfy", "comfy_api", "comfy_execution", "folder_paths.py", "comfyui_version.py")


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return pyproject()


def test_the_registry_can_read_the_version(settings: dict[str, Any]) -> None:
    assert settings["project"]["dynamic"][0] == "version"
    text = (ROOT / settings["tool"]["comfy"]["version"]["path"]).read_text(encoding="utf-8")
    assert re.search(r'^__version__ = "\d+\.\d+\.\d+"$', text, re.MULTILINE)


def test_what_the_registry_shows_is_stated(settings: dict[str, Any]) -> None:
    project, comfy_settings = settings["project"], settings["tool"]["comfy"]
    assert re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+", project["urls"]["Repository"])
    assert all(project[name] for name in ("description", "license", "requires-python"))
    assert all(comfy_settings[name] for name in ("PublisherId", "DisplayName"))
    kinds = {classifier.rpartition(" :: ")[0] for classifier in project["classifiers"]}
    assert {"Operating System", "Environment :: GPU"} <= kinds
    needed = re.fullmatch(r">=(\d+\.\d+\.\d+)", comfy_settings["requires-comfyui"])
    assert needed
    assert f"ComfyUI {needed[1]} or later" in (ROOT / "docs" / "comfyui.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "proportions"), [("Icon", 1), ("Banner", 21 / 9)])
def test_pictures_have_the_size_that_the_registry_wants(name: str, proportions: float, settings: dict[str, Any]) -> None:
    address = settings["tool"]["comfy"][name]
    assert address.startswith(RAW)
    text = (ROOT / address.removeprefix(RAW)).read_text(encoding="utf-8")
    width, height = (int(re.search(rf'<svg [^>]*\b{side}="(\d+)"', text)[1]) for side in ("width", "height"))  # type: ignore[index]
    assert width / height == pytest.approx(proportions)
    assert name != "Icon" or width <= 400


# ---- with the registry's own program


class Tools:
    """Programs of other people, which find no settings and leave none."""

    def __init__(self, home: Path) -> None:
        folder = os.environ.get("COMFYUI_TOOLS")
        if not folder:
            pytest.skip("COMFYUI_TOOLS doesn't name the folder of comfy-cli and its like: make test-comfyui")
        self.folder = (ROOT / folder).resolve()
        homes = dict.fromkeys(("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), str(home))
        self.environment = os.environ | homes | {"NO_COLOR": "1", "COLUMNS": "200", "PYTHONUTF8": "1"}

    def run(self, name: str, *arguments: object, cwd: Path, code: int = 0) -> str:
        program = shutil.which(name, path=str(self.folder))
        assert program, f"{self.folder} has no {name}"
        command = [program, *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, env=self.environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr


def committed(folder: Path, to: Path, *paths: str) -> Path:
    """Make a repository of what git would take of a folder, without touching that."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "--git-dir", str(to / ".git"), "--work-tree"]
    subprocess.run(["git", "init", "--quiet", str(to)], check=True)
    subprocess.run([*git, str(folder), "add", "--", *(paths or ["."])], check=True, cwd=folder, capture_output=True)
    subprocess.run([*git, str(folder), "commit", "--quiet", "--message", "x"], check=True, cwd=folder, capture_output=True)
    subprocess.run([*git, str(to), "checkout-index", "--all"], check=True, cwd=to)
    return to


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return Tools(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def clone(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone of the repository would be if all were committed."""
    return committed(ROOT, tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def pack(clone: Path, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What users get, in a folder of custom nodes."""
    folder = tmp_path_factory.mktemp("ComfyUI") / "custom_nodes" / "esc-plugin"
    tools.run("comfy", "--skip-prompt", "--no-enable-telemetry", "node", "pack", cwd=clone)
    with zipfile.ZipFile(clone / "node.zip") as archive:
        archive.extractall(folder)
    return folder


def test_validation_has_nothing_to_say(clone: Path, tools: Tools) -> None:
    said = tools.run("comfy", "--skip-prompt", "--no-enable-telemetry", "node", "validate", cwd=clone)
    assert "All validation checks passed" in said
    assert "warning" not in said.lower()


def test_the_pack_holds_what_users_need(pack: Path, clone: Path) -> None:
    files = [path for path in pack.rglob("*") if path.is_file()]
    tops = {path.relative_to(pack).parts[0] for path in files}
    needed = {"LICENSE", "README.md", "__init__.py", "esc_plugin", "example_workflows", "nodes", "requirements.txt", "web"}
    assert needed <= tops <= needed | {"CHANGELOG.md", "locales", "manifest.yaml", "pyproject.toml", "subgraphs"}
    assert sum(path.stat().st_size for path in files) < 7e6  # 3.9 of them are the bundled models
    assert not [path for path in clone.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_pack_works_alone(generation: str, pack: Path) -> None:
    import_spandrel()
    with comfy(generation, pack) as host:
        assert Path(host.inside("esc_plugin.upscaler").__file__ or "").is_relative_to(pack)
        model = host.run("ESC_LoadModel", model="esc-nano-x2")
        found = host.run("ESC_UpscaleImage", upscale_model=model, image=torch.rand(1, 16, 20, 3))
        assert tuple(found.shape) == (1, 32, 40, 3)


def test_what_breaks_packs_elsewhere_is_not_in_it(pack: Path, tools: Tools, tmp_path: Path) -> None:
    whole = tools.run("comfy-test", "lint", pack, cwd=pack, code=1)
    assert "Unicode check: OK" in whole
    # It wants ComfyUI's own layers and loaders, which a library for all hosts can't use: the rest is for the door.
    door = shutil.copytree(pack, tmp_path / "door", ignore=shutil.ignore_patterns("esc_plugin"))
    (door / "comfy-test.toml").write_text('[test.javascript]\nnamespaces = ["ESC"]\n', encoding="utf-8")  # as node ids begin
    said = tools.run("comfy-test", "lint", "--strict", door, cwd=door)
    assert "Forbidden patterns check: OK" in said
    assert "Warnings" not in said


def test_a_real_comfyui_has_what_the_pack_uses(pack: Path, tools: Tools, tmp_path: Path) -> None:
    folder = os.environ.get("COMFYUI")
    if not folder:
        pytest.skip("COMFYUI doesn't name the folder of a ComfyUI")
    source = ast.parse((Path(folder) / "comfy" / "model_management.py").read_text(encoding="utf-8"))
    if "is_oom" not in {getattr(node, "name", "") for node in source.body}:
        pytest.skip("comfy-import-guard takes names that are asked for with a default as needed, which older ComfyUIs lack")
    committed(Path(folder), tmp_path / "ComfyUI", *CORE)
    options = ["--cache-dir", tmp_path, "--offline", "check", "--target", "HEAD", "--strict", "--comfy-dir", pack.parents[1]]
    assert "1 safe" in tools.run("comfy-import-guard", *options, cwd=tmp_path)
