"""What may be written, and how: as a whole, or not at all."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from esc_plugin import EscError, ImageError, cli
from esc_plugin.disk import check_free, identities, replacing, write_text
from esc_plugin.files import Picture, write_picture
from esc_plugin.files.formats import FORMATS
from esc_plugin.texts import printable

from .small import nearest_upscaler
from .systems import symlink


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(UnicodeError), replacing(target) as beside:
        beside.write_text("half\udc80", encoding="utf-8")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]
    write_text(target, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "new")]


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("100 requested and 7 written", "the disk took less than it was given (100 requested and 7 written)"),
        ("no layer", "no layer"),
    ],
)
def test_errors_of_libraries_without_a_number(tmp_path: Path, raised: str, told: str) -> None:
    """Only of numpy's it is known what they mean."""
    with pytest.raises(EscError, match=rf"^can't write '.*a.txt': {re.escape(told)}\.$"), replacing(tmp_path / "a.txt"):
        raise OSError(raised)


def test_the_content_reaches_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    sync = os.fsync
    monkeypatch.setattr("os.fsync", lambda number: (seen.append((tmp_path / "a.txt").exists()), sync(number)))
    write_text(tmp_path / "a.txt", "text")
    assert seen == [False]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such rights")
def test_rights_are_those_of_any_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask belongs to the whole process: another thread's file must not see it changed."""
    (tmp_path / "wanted").write_text("")
    monkeypatch.setattr("os.umask", lambda *_: pytest.fail("it changed the mask of the process"))
    write_text(tmp_path / "made", "")
    wanted, made = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("wanted", "made"))
    assert made == wanted


@pytest.mark.skipif(sys.platform == "win32", reason="there it is the path whose length is bounded")
def test_the_longest_name(tmp_path: Path) -> None:
    write_text(tmp_path / ("a" * 251 + ".txt"), "text")
    with pytest.raises(EscError, match="can't write"):
        check_free(tmp_path / ("a" * 256))


def test_names_that_can_not_be(tmp_path: Path) -> None:
    symlink(tmp_path / "loop", tmp_path / "loop")
    (tmp_path / "file").write_text("")
    for name in ("loop", "file/inside", "nul\0", "."):
        with pytest.raises(EscError, match="can't write"):
            check_free(tmp_path / name, overwrite=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes with names")
def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(EscError, match="a device or a pipe"):
            check_free(path, overwrite=True)


def test_what_is_there_is_replaced_by_request_or_if_it_is_ours(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    check_free(target)
    target.write_text("mine")
    with pytest.raises(EscError, match=r"is there already.*--overwrite"):
        check_free(target, ours=lambda path: path.read_text() == "ours")
    check_free(target, overwrite=True)
    target.write_text("ours")
    check_free(target, ours=lambda path: path.read_text() == "ours")
    symlink(tmp_path / "nowhere", tmp_path / "none")
    with pytest.raises(EscError, match="is there already"):
        check_free(tmp_path / "nowhere")


@pytest.mark.parametrize("way", ["as it is", "case", "dots", "symlink", "hard link"])
def test_an_input_is_never_replaced(tmp_path: Path, way: str) -> None:
    source = tmp_path / "a.txt"
    source.write_text("mine")
    (tmp_path / "sub").mkdir()
    other = {"as it is": source, "case": tmp_path / "A.TXT", "dots": tmp_path / "sub" / ".." / "a.txt"}.get(way)
    if other is None:
        other = tmp_path / "other.txt"
        symlink(other, source) if way == "symlink" else other.hardlink_to(source)
    with pytest.raises(EscError, match="same run reads"):
        check_free(other, inputs=identities(source), overwrite=True, ours=lambda _: True)


def esc(*arguments: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["esc-sr", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return int(done.value.code or 0)


COMMANDS = [
    ("compare", "{image}", "-o", "{out}.png"),
    ("inspect", "esc-nano-x2", "{image}", "-o", "{out}.png"),
    ("inspect", "esc-nano-x2", "{image}", "-o", "{out}.html"),
    ("evaluate", "esc-nano-x2", "{folder}", "-o", "{out}.csv"),
    ("export", "esc-nano-x2", "{out}.onnx"),
    ("convert", "{weights}", "{out}.safetensors"),
    ("upscale", "{image}", "-o", "{out}.png"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=[f"{c[0]} {c[-1][5:]}" for c in COMMANDS])
@pytest.mark.parametrize("is_input", [False, True])
def test_every_command_asks_before_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: Any, is_input: bool
) -> None:
    if command[0] == "inspect":
        pytest.importorskip("matplotlib", reason="reports need it")
    image, out = tmp_path / "a.png", tmp_path / "out"
    Image.new("RGB", (8, 8)).save(image)
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    target = Path(command[-1].format(out=out))
    target.write_bytes(b"precious")
    names = {"image": image, "out": out, "folder": tmp_path, "weights": tmp_path / "w.safetensors"}
    if is_input:  # the file that is read is the one that would be written, and asking for it doesn't help
        if target.suffix not in (".png", ".safetensors"):
            pytest.skip("writes what it can't read")
        names |= {"image": target, "weights": target}
    if command[0] != "upscale":
        monkeypatch.setattr("esc_plugin.upscaler.Upscaler", lambda *_, **__: pytest.fail("it began to work"))
        monkeypatch.setattr("esc_plugin.catalog.load.load_model", lambda *_, **__: pytest.fail("it loaded a model"))
    arguments = [part.format(**names) for part in command] + ["--overwrite"] * is_input
    assert esc(*arguments, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().err
    assert ("same run reads" if is_input else "is there already") in said
    assert target.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", target.name, "w.safetensors"]


def test_a_comparison_replaces_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name by default is always the same."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("esc_plugin.upscaler.Upscaler", lambda *_, **__: nearest_upscaler())
    assert esc("compare", "a.png", monkeypatch=monkeypatch) == 0
    assert esc("compare", "a.png", "--zoom", "2", monkeypatch=monkeypatch) == 0
    Image.new("RGB", (9, 9)).save(tmp_path / "comparison.png")
    assert esc("compare", "a.png", monkeypatch=monkeypatch) == 1
    assert esc("compare", "a.png", "--overwrite", monkeypatch=monkeypatch) == 0
    assert esc("compare", "a.png", "-o", "x.xyz", monkeypatch=monkeypatch) == 1


def test_printable() -> None:
    assert printable("a\x1b[2J\x07\r\nb\u202e\udc80") == "a\\x1b[2J\\x07\\r\\nb\\u202e\\udc80"
    assert printable("Zürich µm 日本 \U0001f52c می\u200cخواهم") == "Zürich µm 日本 \U0001f52c می\u200cخواهم"


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of the size of files")
@pytest.mark.parametrize("suffix", [suffix for form in FORMATS if form.write for suffix in form.suffixes[:1]])
def test_a_disk_that_takes_all_but_the_last_bytes_is_an_error(tmp_path: Path, suffix: str) -> None:
    import resource

    pixels = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    path, picture = tmp_path / f"a{suffix}", Picture(pixels, "YXS", "PNG")
    write_picture(path, picture)
    size, before = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    for missing in (1, size // 2, size - 1):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, before[1]))
            with pytest.raises(ImageError, match="can't write"):
                write_picture(tmp_path / f"b{suffix}", picture)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208
