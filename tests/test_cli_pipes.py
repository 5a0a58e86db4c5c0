"""Standard input and output of the command line: pictures and JSON for other programs, and how it ends."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from esc_plugin import cli

from .commands import ENVIRONMENT, ROOT, made_once

COMMAND = [sys.executable, "-m", "esc_plugin.cli"]


class Stream(io.TextIOWrapper):
    """A stream of a process, or of a terminal."""

    def __init__(self, data: bytes = b"", terminal: bool = False) -> None:
        super().__init__(Bytes(data, terminal), encoding="utf-8")


class Bytes(io.BytesIO):
    def __init__(self, data: bytes, terminal: bool) -> None:
        super().__init__(data)
        self.isatty = lambda: terminal  # type: ignore[method-assign]


@pytest.fixture
def photo() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def esc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, bytes, str]]:
    """Return a function that runs ``esc-sr`` with a standard input, and returns its code, standard output and error."""
    made_once(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: Any, given: Any = b"", out: Any = None) -> tuple[int, bytes, str]:
        streams = {"stdin": Stream(given) if isinstance(given, bytes) else given, "stdout": out or Stream()}
        streams["stderr"] = Stream()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["esc-sr", *map(str, arguments)])
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            with pytest.raises(SystemExit) as done:
                cli.main()
            for name in ("stdout", "stderr"):
                streams[name].flush()
        said = [streams[name].buffer.getvalue() for name in ("stdout", "stderr")]
        return int(done.value.code or 0), said[0], said[1].decode()

    return run


def test_a_picture_goes_through(esc: Any, photo: bytes, tmp_path: Path) -> None:
    code, out, told = esc("upscale", "-", "-o", "-", given=photo)
    assert code == 0, told
    with Image.open(io.BytesIO(out)) as image:
        assert (image.format, image.size) == ("PNG", (20, 24))
    assert "<stdin> -> <stdout>  20 x 24" in told
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.png").write_bytes(photo)
    esc("upscale", "a.png")
    with Image.open(io.BytesIO(out)) as piped, Image.open("a_x2.png") as direct:
        np.testing.assert_array_equal(np.asarray(piped), np.asarray(direct))


@pytest.mark.parametrize("form", ["jpg", "tif", "webp"])
def test_a_picture_of_any_format_goes_through(esc: Any, photo: bytes, form: str) -> None:
    code, out, told = esc("upscale", "-", "-o", "-", "--format", form, "--quiet", given=photo)
    assert (code, told) == (0, "")
    code, again, told = esc("upscale", "-", "-o", "-", "-q", given=out)
    assert (code, told) == (0, "")
    with Image.open(io.BytesIO(again)) as image:
        assert (image.format, image.size) == ("PNG", (40, 48))


def test_a_stream_goes_to_a_file_and_a_file_to_a_stream(esc: Any, photo: bytes, tmp_path: Path) -> None:
    assert esc("upscale", "-", "-o", "here.png", given=photo)[0] == 0
    assert esc("upscale", "-", "-o", "folder/", given=photo)[0] == 0
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png")) == ["folder/stdin_x2.png", "here.png"]
    assert esc("compare", "here.png", "-o", "-")[1].startswith(b"\x89PNG")
    code, survey, _ = esc("survey", "-", "-o", "-", given=photo)
    assert code == 0
    assert json.loads(survey)["model"].startswith("esc-nano")


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (["-", "-o", "-"], b"", "standard input is no image that can be read: it is empty"),
        (["-", "-o", "-"], b"no image" * 9, "starts like none of PNG"),
        (["-"], None, "say where the result goes, with -o FILE, or -o -"),
        (["-", "-o", "{folder}/x.png"], None, "standard input lies in no folder"),
        (["-", "-", "-o", "-"], None, "standard input can be read once"),
        (["-", "-o", "-", "--json"], None, "either a result or JSON"),
        (["-", "-o", "-", "--format", "zarr"], None, "can't go to standard output"),
        (["-", "-o", "-"], Stream(b"", terminal=True), "standard input is a terminal"),
        (["a.png", "b.png", "-o", "-"], None, "several images would go to '<stdout>'"),
    ],
)
def test_what_can_not_go_through_is_one_line(
    esc: Any, photo: bytes, arguments: list[str], given: Any, message: str, tmp_path: Path
) -> None:
    code, out, told = esc("upscale", *arguments, given=photo if given is None else given)
    assert (code, len(told.splitlines())) == (1, 1), told
    assert message in told
    assert out == b"" or "error" in json.loads(out)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_stream_leaves_nothing(esc: Any, photo: bytes) -> None:
    code, out, told = esc("upscale", "-", "-o", "-", given=photo[:-60])
    assert (code, out) == (1, b"")
    assert told.startswith("error: '<stdin>' is no image that can be read")


def test_no_picture_goes_to_a_terminal(esc: Any, photo: bytes) -> None:
    code, out, told = esc("upscale", "-", "-o", "-", given=photo, out=Stream(terminal=True))
    assert (code, out) == (1, b"")
    assert "standard output is a terminal" in told


def test_a_result_that_could_not_be_sent_is_not_told_of(esc: Any, photo: bytes) -> None:
    full = Stream()
    full.buffer.write = lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))  # type: ignore[method-assign]
    code, _, told = esc("upscale", "-", "-o", "-", given=photo, out=full)
    assert (code, told) == (1, "error: can't write to standard output: No space left on device.\n")


def test_a_line_of_json_for_each_file(esc: Any, photo: bytes, tmp_path: Path) -> None:
    for name in ("a.png", "b\u202e.png"):
        (tmp_path / name).write_bytes(photo)
    code, out, told = esc("upscale", "a.png", "none.png", "b\u202e.png", "-o", "out/", "--json")
    assert code == 1
    rows = {row["image"]: row for row in map(json.loads, out.splitlines())}
    assert b"\xe2\x80\xae" not in out
    assert "\u202e" not in told
    assert [rows[name]["status"] for name in ("a.png", "b\u202e.png", "none.png")] == ["done", "done", "failed"]
    assert rows["none.png"]["error"] == "there is no file 'none.png'."
    assert rows["a.png"]["result"] == str(Path("out/a_x2.png"))
    assert (rows["a.png"]["record"]["size"], rows["a.png"]["record"]["command"]) == ([24, 20], "upscale")
    _, out, _ = esc("upscale", "a.png", "-o", "out/", "--json", "--skip-existing")
    assert json.loads(out)["status"] == "skipped"
    _, out, _ = esc("upscale", "a.png", "--json", "--plan")
    assert json.loads(out)["plan"]["size"] == [24, 20]


@pytest.mark.parametrize(
    "arguments",
    [["upscale", "a.png", "-s", "0"], ["evaluate", "esc-nano-x2", "none"], ["models", "none"], ["info", "none.png"]],
)
def test_an_error_is_json_too(esc: Any, arguments: list[str]) -> None:
    code, out, told = esc(*arguments, "--json")
    assert code == 1
    assert told == f"error: {json.loads(out)['error']}\n"


def test_figures_that_json_has_no_number_for(esc: Any, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "black.png")
    code, out, _ = esc("evaluate", "esc-nano-x2", ".", "--json", "-o", "figures.json")
    assert code == 0
    for written in (out, Path("figures.json").read_bytes()):
        rows = json.loads(written, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert (rows[0]["image"], rows[0]["bicubic_psnr_y"]) == ("black", None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"]])
def test_a_disk_that_is_full_is_no_fault_of_the_program(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT, cwd=ROOT, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"error: can't write to standard output: No space left on device.\n")


@pytest.mark.skipif(os.name == "nt", reason="pipes end differently there")
@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["upscale", "a.png", "-o", "-", "-q"]])
def test_a_pipe_that_nobody_reads_is_silent(arguments: list[str], photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(photo)
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, *arguments], stdout=writing, stderr=subprocess.PIPE, env=environment, cwd=tmp_path, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has none that a process could answer")
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_who_is_told_to_end_leaves_nothing(number: int, photo: bytes, tmp_path: Path) -> None:
    """In the middle of the work, with a picture in a pipe."""
    code = (
        "import os, signal, time\nfrom esc_plugin.cli import main\nfrom esc_plugin.engine.run import Run\n"
        f"signal.signal({int(number)}, signal.SIG_DFL)\n"  # who runs the tests with nohup has it ignored
        f"Run.execute = lambda *_, **__: (os.kill(os.getpid(), {int(number)}), time.sleep(60))\nmain()"
    )
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-c", code, "upscale", "-", "-o", "-"]
    done = subprocess.run(
        command, input=photo, capture_output=True, env=ENVIRONMENT | {"TMPDIR": str(folder)}, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, b"", b"")
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no folder goes while a program runs in it")
def test_a_folder_that_is_gone_is_no_fault_of_the_program(esc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    told = esc("upscale", "a.png")[::2]
    assert told == (1, "error: the folder that the program runs in is gone; run it in another one.\n")
