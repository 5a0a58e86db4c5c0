"""What registries and other people's machines read: metadata, changelog, workflows and recipe agree with the tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from . import metadata


@pytest.mark.parametrize("name", metadata.REPEATED)
def test_what_is_repeated_is_the_same(name: str) -> None:
    assert metadata.read(name) == metadata.REPEATED[name](), "python -m tests.metadata writes it anew"


def test_a_recipe_names_packages_as_conda_does() -> None:
    assert metadata.in_conda("huggingface-hub>=0.25") == "huggingface_hub >=0.25"
    assert metadata.in_conda("llvmlite>=0.44; platform_machine == 'x86_64'") == "llvmlite >=0.44"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with a version and a changelog."""
    (tmp_path / "esc_plugin").mkdir()
    (tmp_path / "esc_plugin" / "version.py").write_text('__version__ = "1.2.0"\n', encoding="utf-8")
    text = "# Changelog\n\n## [1.2.0] - 2026-12-01\n\n- [New](docs/new.md).\n\n## [1.1.0] - 2026-11-01\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(metadata, "ROOT", tmp_path)
    return tmp_path


def test_a_release_says_what_is_new_in_it(tree: Path) -> None:
    assert metadata.release_notes("v1.2.0") == f"- [New]({metadata.REPOSITORY}/blob/v1.2.0/docs/new.md)."


@pytest.mark.parametrize("tag", ["1.2.0", "v1.1.0", "v1.2.0rc1"])
def test_a_tag_of_another_version_releases_nothing(tag: str, tree: Path) -> None:
    with pytest.raises(SystemExit, match=r"isn't v1\.2\.0"):
        metadata.release_notes(tag)


def test_a_version_without_a_date_is_not_released(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text("## [1.2.0] - not released yet\n\n- New.\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="nothing is released"):
        metadata.release_notes("v1.2.0")


def test_the_changelog_tells_of_this_version() -> None:
    assert re.search(rf"^## \[{re.escape(metadata.version())}\] - ", metadata.read("CHANGELOG.md"), re.MULTILINE)


# ---- the workflows, which run on the machines of a code host only; what they may do, `make package` asks zizmor

#: All jobs, by workflow and name.
JOBS = {
    f"{path.stem}-{name}": job
    for path in metadata.ROOT.glob(".github/workflows/*.yml")
    for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
}


@pytest.mark.parametrize("job", list(JOBS.values()), ids=list(JOBS))
def test_a_job_ends(job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 120


def test_what_workflows_make_can_be_made() -> None:
    commands = [step.get("run", "") for job in JOBS.values() for step in job["steps"]]
    made = {name for command in commands for name in re.findall(r"\bmake ([\w-]+)", command)}
    made |= {name for job in JOBS.values() for name in job.get("strategy", {}).get("matrix", {}).get("target", [])}
    assert {"test", "docs", "package"} <= made <= metadata.make_targets()


def test_the_repository_has_one_address() -> None:
    assert metadata.project()["urls"]["Repository"] == metadata.REPOSITORY


def test_pythons_that_are_stated_are_tested() -> None:
    stated = {text.rpartition(" ")[2] for text in metadata.project()["classifiers"] if re.search(r":: 3\.\d+$", text)}
    cells = JOBS["tests-cells"]["strategy"]["matrix"]["include"]
    assert {cell["python"] for cell in cells} == stated
    assert f">={min(stated, key=lambda text: int(text[2:]))}" == metadata.project()["requires-python"]
