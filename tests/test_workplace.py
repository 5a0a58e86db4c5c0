"""Unfinished files of dead programs go with the next run; nobody else's ever do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from esc_plugin import EscError, ImageError, workplace
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job
from esc_plugin.disk import write_text
from esc_plugin.files.objects import Objects
from esc_plugin.files.picture import empty_array
from esc_plugin.workplace import scratch_folder

from .small import nearest_upscaler
from .systems import symlink

WRITER = """
import sys
from pathlib import Path
from esc_plugin.disk import replacing
with replacing(Path(sys.argv[1])) as beside:
    beside.write_bytes(b"half")
    print(beside.parent.name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _a_new_process() -> None:
    workplace._swept.clear()


@contextmanager
def writer(path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a process that is in the middle of writing a file."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, path.parent / process.stdout.readline().strip()
        finally:
            process.kill()


def killed(path: Path) -> Path:
    """Return what a killed process left."""
    with writer(path) as (_, left):
        pass
    assert left.is_dir()
    return left


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    dead = killed(tmp_path / "a.txt")
    with writer(tmp_path / "b.txt") as (process, living):
        write_text(tmp_path / "c.txt", "text")
        assert names(tmp_path) == {living.name, "c.txt"}
        assert dead != living
        process.communicate("")
    assert names(tmp_path) == {"b.txt", "c.txt"}


def test_another_thread_of_this_process_lives(tmp_path: Path) -> None:
    with workplace.workplace(tmp_path) as ours:
        workplace._swept.clear()
        thread = threading.Thread(target=write_text, args=(tmp_path / "a.txt", "text"))
        thread.start()
        thread.join()
        assert names(tmp_path) == {ours.name, "a.txt"}


def test_nobody_elses_files_are_touched(tmp_path: Path) -> None:
    elsewhere, target = tmp_path / "elsewhere", tmp_path / "folder" / "a.txt"
    target.parent.mkdir()
    left = killed(target)
    left.rename(elsewhere)
    symlink(left, elsewhere)  # as a trap
    for name in (".esc-notes.txt", ".esc-old", f"{left.name[:-1]}g", f"{left.name}.txt", f"{left.name[:-1]}~"):
        (target.parent / name).write_text("mine")
    (target.parent / f"{left.name[:-1]}{int(left.name[-1], 16) ^ 1:x}").write_text("a file of such a name")
    (target.parent / f"{left.name[:-2]}xx").mkdir()
    before = names(target.parent)
    write_text(target, "text")
    assert names(target.parent) == before | {"a.txt"}
    assert names(elsewhere) == {".lock", ".new.txt"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="only root may give files away")
def test_another_users_files_are_touched_by_their_owner_only(tmp_path: Path) -> None:
    left = killed(tmp_path / "a.txt")
    os.chown(left, 65534, 65534)
    write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == {left.name, "a.txt"}


def of_another_machine(left: Path) -> Path:
    """Give a folder the name that it had if another machine had made it."""
    mount = f"{int(left.name[5:13], 16) ^ 1:08x}"
    return left.rename(left.with_name(f".esc-{mount}{left.name[13:]}"))


def test_another_machines_files_go_a_week_after_the_last_change(tmp_path: Path) -> None:
    left = of_another_machine(killed(tmp_path / "a.txt"))
    now, week = time.time(), 7 * 24 * 3600
    for path, age in ((left / ".lock", 2 * week), (left, 2 * week), (left / ".new.txt", week - 60)):
        os.utime(path, (now - age, now - age))
    write_text(tmp_path / "b.txt", "text")
    assert names(tmp_path) == {left.name, "b.txt"}
    workplace._swept.clear()
    os.utime(left / ".new.txt", (now - week - 60, now - week - 60))
    write_text(tmp_path / "b.txt", "text")
    assert names(tmp_path) == {"b.txt"}


def test_another_machines_files_that_can_not_be_seen_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else removes them in that moment, or they are closed to us: a walk finds nothing then, and raises nothing."""
    left = tmp_path / ".esc-00000000-000000000000"
    left.mkdir()
    os.utime(left, (1, 1))
    monkeypatch.setattr(os, "walk", lambda _: iter(()))
    write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == {left.name, "a.txt"}


def test_a_lock_counts_however_old_a_file_of_another_machine_is(tmp_path: Path) -> None:
    with writer(tmp_path / "a.txt") as (_, living):
        old = of_another_machine(living)
        for path in (old / ".lock", old / ".new.txt", old):
            os.utime(path, (0, 0))
        write_text(tmp_path / "b.txt", "text")
        assert names(tmp_path) == {old.name, "b.txt"}


def test_a_folder_is_looked_through_once(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "text")
    left = killed(tmp_path / "b.txt")
    write_text(tmp_path / "a.txt", "text")
    assert left.is_dir()


def test_a_process_killed_at_the_very_end_leaves_no_work_for_the_next_one_which_clears_nevertheless(tmp_path: Path) -> None:
    source, target = tmp_path / "in" / "a.png", tmp_path / "out" / "a.png"
    source.parent.mkdir()
    left = killed(target)
    target.write_bytes(b"whole")
    batch = Batch(nearest_upscaler(), skip_existing=True)
    assert batch.run([Job(source, target)]).skipped
    assert not left.exists()
    assert names(tmp_path / "out") == {"a.png"}
    assert names(source.parent) == set()


def test_a_process_killed_before_it_had_a_lock_left_an_empty_folder(tmp_path: Path) -> None:
    left = killed(tmp_path / "a.txt")
    (left / ".new.txt").unlink()
    (left / ".lock").unlink()
    write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == {"a.txt"}


def test_what_an_ending_process_added_after_all_was_removed(tmp_path: Path) -> None:
    (killed(tmp_path / "a.txt") / ".lock").unlink()
    write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == {"a.txt"}


@pytest.mark.parametrize("when", ["before it is made", "before it is locked", "while it is locked"])
def test_who_loses_a_folder_before_it_is_locked_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    lost: list[Path] = []
    begin, lock = workplace.FileIO, workplace._try_lock

    def open_late(path: Path, mode: str) -> FileIO:
        if not lost and when == "before it is made":
            lost.append(path.parent)
            path.parent.rmdir()
        return begin(path, mode)

    def lock_late(file: FileIO) -> bool:
        if not lost and when != "before it is made":
            lost.extend(tmp_path.glob(".esc-*"))
            if when == "while it is locked":
                return False
            (lost[0] / ".lock").unlink()
        return lock(file)

    if sys.platform == "win32" and when == "before it is locked":
        pytest.skip("Windows removes no open file")
    monkeypatch.setattr(workplace, "FileIO", open_late)
    monkeypatch.setattr(workplace, "_try_lock", lock_late)
    with workplace.workplace(tmp_path) as place:
        assert [place] != lost
        assert len(lost) == 1
        assert names(place) == {".lock"}
        assert names(tmp_path) == {place.name}
    assert not names(tmp_path)


def test_where_there_are_no_locks_files_are_written_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: FileIO) -> bool:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    left = killed(tmp_path / "a.txt")
    monkeypatch.setattr(workplace, "_try_lock", refuse)
    with workplace.workplace(tmp_path) as unlocked:
        monkeypatch.undo()
        assert names(tmp_path) == {left.name, unlocked.name}
        workplace._swept.clear()
        write_text(tmp_path / "b.txt", "text")
        assert names(tmp_path) == {unlocked.name, "b.txt"}
    assert names(tmp_path) == {"b.txt"}


@pytest.mark.skipif(sys.platform == "win32", reason="there it means that another process holds the lock")
def test_where_nobody_may_lock_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A confined program was told so for ever, in folder after folder."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("fcntl.flock", refuse)
    write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == {"a.txt"}


def test_whose_folders_are_always_lost_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "_try_lock", lambda _: False)
    with pytest.raises(EscError, match=r"can't write .*: others remove what is begun there"):
        write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == set()


def test_nothing_stays_where_ctrl_c_comes_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pressed: list[Path] = []
    remove = Path.rmdir

    def rmdir(path: Path) -> None:
        if not pressed:
            pressed.append(path)
            raise KeyboardInterrupt
        remove(path)

    monkeypatch.setattr(Path, "rmdir", rmdir)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == {"a.txt"}


def test_a_finished_store_holds_no_machines_leftovers(tmp_path: Path) -> None:
    pytest.importorskip("fsspec", reason="stores need it")
    store = Objects(tmp_path)
    store.write("0/c/1", b"chunk")
    left = of_another_machine(killed(tmp_path / "0" / "c" / "2"))
    store.sweep()
    assert not left.exists()
    assert store.keys("0") == {"c/1"}


def test_temporary_files_of_dead_processes_go_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed(tmp_path / "a.txt")
    with scratch_folder() as place:
        assert names(tmp_path) == {place.name}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(EscError, match="TMPDIR"), scratch_folder():
        pass


def test_no_folder_for_temporary_files_is_no_fault_and_matters_only_if_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", none)
    monkeypatch.setattr("esc_plugin.workplace.gettempdir", none)
    image = np.zeros((8, 8, 3), np.uint8)
    assert nearest_upscaler()(image).shape == (16, 16, 3)
    with pytest.raises(EscError, match=r"^No usable temporary .*; set TMPDIR"), scratch_folder():
        pass
    monkeypatch.setattr("esc_plugin.files.picture.free_host_bytes", lambda: 1)
    with pytest.raises(EscError, match="set TMPDIR"):
        empty_array((8, 8), np.uint8)


def test_a_temporary_file_that_can_not_be_made_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    monkeypatch.setattr("esc_plugin.files.picture.free_host_bytes", lambda: 1)
    with pytest.raises(ImageError, match="No space left"):
        empty_array((8, 8), np.uint8)
