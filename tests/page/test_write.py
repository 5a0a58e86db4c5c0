"""The page as a folder: whole or nothing, and nobody's files are lost by it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from esc_plugin import EscError
from esc_plugin.page.site import Part
from esc_plugin.page.write import check_target, write_site

SITE = {"index.html": Part(b"one"), "engine/a.js": Part(b"two")}


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_site_is_written_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    write_site(SITE, folder)
    assert content(folder).items() >= {"index.html": b"one", "engine/a.js": b"two"}.items()
    (tmp_path / "new.js").write_bytes(b"three")
    write_site({"index.html": Part(b"newer"), "b.js": Part(tmp_path / "new.js")}, folder)
    assert set(content(folder)) == {"index.html", "b.js", "written.json"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.js", "site"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    write_site(SITE, tmp_path / "site")
    assert (tmp_path / "site" / "index.html").is_file()


@pytest.mark.parametrize("foreign", ["thesis.txt", "engine/thesis.txt", ".git/config"])
@pytest.mark.parametrize("written", [False, True])
def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, foreign: str, written: bool) -> None:
    folder = tmp_path / "site"
    if written:
        write_site(SITE, folder)
    (folder / foreign).parent.mkdir(parents=True, exist_ok=True)
    (folder / foreign).write_bytes(b"years of work")
    before = content(folder)
    with pytest.raises(EscError, match=r"which isn't the page's; choose a new or an empty folder"):
        write_site({"index.html": Part(b"newer")}, folder)
    assert content(folder) == before


def test_a_record_of_somebody_else_claims_nothing(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "written.json").write_text('{"files": ["written.json"]}')
    with pytest.raises(EscError, match=r"written\.json"):
        write_site(SITE, tmp_path / "site")


def test_a_file_or_no_folder_around_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("")
    with pytest.raises(EscError, match="which is no folder"):
        write_site(SITE, tmp_path / "site")
    with pytest.raises(EscError, match="there is no folder"):
        write_site(SITE, tmp_path / "none" / "site")


def test_after_an_error_the_folder_is_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    write_site(SITE, folder)
    before = content(folder)
    (tmp_path / "a").write_bytes(b"")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(EscError, match="No space left on device"):
        write_site({"a": Part(tmp_path / "a")}, folder)
    assert content(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "site"]


def test_if_the_new_one_cant_be_moved_there_the_old_one_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    write_site(SITE, folder)
    before = content(folder)
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(13, "Permission denied")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(EscError, match="Permission denied"):
        write_site({"index.html": Part(b"newer")}, folder)
    assert content(folder) == before


def test_the_folder_that_one_is_in_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for here in (Path(), tmp_path):
        with pytest.raises(EscError, match="name one inside it"):
            check_target(here)
