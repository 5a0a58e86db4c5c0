"""``esc-sr upscale`` with films."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="needs PyAV: pip install av")

from filelock import FileLock

from esc_plugin import workplace
from esc_plugin.catalog.by_default import default_model
from esc_plugin.video import encoding
from esc_plugin.video.enlarging import FrameEnlarger
from esc_plugin.video.film import open_film
from esc_plugin.video.parts import Parts, folder_of
from esc_plugin.video.upscaling import record_in

from .commands import inside_the_test, run_commands
from .films import frames_in, make_film, packets_in, picture, times_in


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    return inside_the_test(monkeypatch, capsys)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    pictures = [picture(i / 10, 16, 24) for i in range(6)]
    return make_film(tmp_path / "film.mp4", pictures, codec="libx264", pixel_format="yuv420p", sound="aac")


def test_a_film_just_works(run: Callable[..., str], film: Path) -> None:
    said = run("upscale", film, "-v")
    target = film.with_name("film_x2.mp4")
    assert f"{film} -> {target}  48 x 32, 6 frames" in said
    assert "encoder libx264" in said
    assert times_in(target) == times_in(film)
    assert packets_in(target, "audio") == packets_in(film, "audio")
    assert "is there already" in run("upscale", film, code=1)
    assert "exists, skipped" in run("upscale", film, "--skip-existing")
    run("upscale", film, "--overwrite", "--scale", "1.5", "-o", target)
    assert frames_in(target)[0].width == 36
    assert "left out; --include-results takes it" in run("upscale", film, target, "-o", f"{film.parent}/more/")
    assert [path.name for path in (film.parent / "more").iterdir()] == ["film_x2.mp4"]


def test_what_a_program_left_that_was_killed_at_the_end_is_removed(
    run: Callable[..., str], film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, clear = film.with_name("film_x2.mp4"), Parts._leave

    def killed(parts: Parts, lock: FileLock, useless: bool) -> None:
        clear(parts, lock, useless=False)

    for skipped, code in (("--skip-existing", 0), ("--quiet", 1)):
        monkeypatch.setattr(Parts, "_leave", killed)
        run("upscale", film, "--overwrite")
        monkeypatch.undo()
        assert (folder_of(target) / "000000.mkv").exists()
        workplace._swept.clear()
        (film.parent / f".esc-{workplace._mount(film.parent)}-0123456789ab").mkdir()
        run("upscale", film, skipped, code=code)
        assert sorted(film.parent.iterdir()) == [film, target]
    (folder_of(target)).mkdir()
    (folder_of(target) / "lock").touch()  # it comes to an end a moment later
    run("upscale", film, "--skip-existing")
    assert not folder_of(target).exists()


def test_unfinished_work_on_a_film_that_is_there_is_kept(
    run: Callable[..., str], film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("upscale", film)
    target = film.with_name("film_x2.mp4")
    with Parts(target, {"other": "settings"}).claimed():
        run("upscale", film, "--skip-existing")  # while somebody works there
        (folder_of(target) / "000000.mkv").write_bytes(b"a segment")
        monkeypatch.setattr(Parts, "_leave", lambda parts, lock, useless: lock.release())
    monkeypatch.undo()
    run("upscale", film, "--skip-existing")
    run("upscale", film, code=1)
    assert (folder_of(target) / "000000.mkv").read_bytes() == b"a segment"


def test_names_say_what_was_asked_for(run: Callable[..., str], film: Path) -> None:
    made = run("upscale", film, "--lossless", "-v")
    assert "film_x2.mkv" in made
    assert f"model {default_model().entry.name}, " in made  # a film is one of photographs
    assert "model_choice" in made
    assert "film_longest60.mkv  60 x 40" in run("upscale", film, "--longest", 60, "--format", "mkv", "--quality", 30)
    assert "film_fill_32x32.mov  32 x 32" in run("upscale", film, "--fill", "32x32", "--format", "mov")
    blended = run(
        "upscale",
        film,
        "-m",
        "esc-nano-x2",
        "--blend",
        "esc-nano-x4",
        "--strength",
        0.5,
        "--format",
        "mkv",
        "-v",
        "-o",
        film.parent / "b.mkv",
    )
    assert "esc-nano-x2 + " in blended
    assert "strength 0.5" in blended
    assert "each frame of 24 x 16" in run("upscale", film, "--plan", "--overwrite")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--axes", "TYX"], "--axes isn't for films"),
        (["--nan", "keep"], "--nan isn't for films"),
        (["--region", "0:4,0:4"], "--region isn't for films"),
        (["--workers", "2"], "--workers isn't for films"),
        (["-o", "film.png"], "can't write a film to 'film.png'"),
        (["-o", "film.webm"], "can't hold the audio of the film (aac)"),
        (["-o", "film.mkv", "--format", "mp4"], "'film.mkv' is no 'mp4'"),
        (["--shared", "C"], "shared must be one of shot, frame, T"),
        (["--max-megapixels", "0.0001"], "claims frames of 24 x 16 pixels"),
        (["picture.png"], "'picture.png' is no film; name films and images in two calls"),
    ],
)
def test_what_means_nothing_is_refused(options: list[str], said: str, run: Callable[..., str], film: Path) -> None:
    assert said in run("upscale", film, *options, code=1)
    assert list(film.parent.iterdir()) == [film]


def test_a_film_is_told_to_programs_but_not_sent_to_them(run: Callable[..., str], film: Path) -> None:
    assert "a film can't go to standard output" in run("upscale", film, "-o", "-", code=1)
    assert json.loads(run("upscale", film, "--json", "-q", "--plan"))["plan"]["model"].startswith("esc-nano")
    row = json.loads(run("upscale", film, "--json", "-q"))
    assert (row["status"], row["result"], row["record"]["frames"]) == ("done", str(film.with_name("film_x2.mp4")), 6)
    facts = json.loads(run("info", film, "--json"))
    assert (facts["kind"], facts["size"], facts["made_by"]) == ("film", [16, 24], None)


def test_images_have_no_lossless(run: Callable[..., str], tmp_path: Path) -> None:
    assert "--lossless is for films" in run("upscale", tmp_path / "a.png", "--lossless", code=1)


def test_a_film_that_fails_does_not_stop_the_others(run: Callable[..., str], film: Path) -> None:
    junk = film.with_name("junk.mp4")
    junk.write_bytes(b"no film")
    said = run("upscale", junk, film, film.with_name("gone.mp4"), code=1)
    assert "can't read the film" in said
    assert "there is no file" in said
    assert "1 upscaled, 0 skipped, 2 failed" in said


def test_a_film_that_breaks_off_is_told(run: Callable[..., str], tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", [picture(i / 10, 16, 24) for i in range(6)])
    assert "breaks off" not in run("upscale", source, "-o", tmp_path / "whole.mkv")
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    said = run("upscale", source)
    assert f"note: {source}: the film breaks off after 3 of about 6 frames; its file is incomplete" in said
    target = tmp_path / "a_x2.mkv"
    assert len(frames_in(target)) == 3
    assert record_in(open_film(str(target)))["breaks_off"] == "after 3 of about 6 frames"


def test_ctrl_c_keeps_what_is_whole(run: Callable[..., str], film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "SEGMENT_FRAMES", (2, 2))
    enlarge, count = FrameEnlarger.__call__, iter(range(100))

    def pressed(self: FrameEnlarger, *arguments: Any) -> np.ndarray:
        if next(count) == 3:
            raise KeyboardInterrupt
        return enlarge(self, *arguments)

    monkeypatch.setattr(FrameEnlarger, "__call__", pressed)
    target = film.with_name("film_x2.mp4")
    said = run("upscale", film, code=130)
    assert "keeps what is done; the same command goes on from there" in said
    assert not target.exists()
    said = run("upscale", film, "--quality", 10, code=1)
    assert "unfinished film of other settings" in said
    assert "going on" not in said
    said = run("upscale", film)
    assert "going on with what" in said
    assert times_in(target) == times_in(film)
    assert next(count) == 4 + 4  # two frames of the first run were whole
    assert not folder_of(target).exists()


def test_without_pyav_one_line_says_how_to_get_it(film: Path) -> None:
    ((code, said),) = run_commands(["upscale", film], missing=["av"])
    assert code == 1
    assert "'video' needs packages that aren't installed (from a clone: pip install -e '.[video]')" in said
    assert "install them with: pip install av" in said
