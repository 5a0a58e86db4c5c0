"""Films: what is kept of them, that frames of a shot share their means, and that stopped work goes on."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

pytest.importorskip("av", reason="needs PyAV: pip install av")

from esc_plugin.arrays.framing import Frame, Framing
from esc_plugin.errors import Cancelled, EscError, ImageError
from esc_plugin.upscaler import Upscaler
from esc_plugin.video import encoding
from esc_plugin.video.colours import Conversion, guessed_matrix
from esc_plugin.video.encoding import factor_for
from esc_plugin.video.ending import broken_off
from esc_plugin.video.enlarging import FrameEnlarger, ShotMeans
from esc_plugin.video.film import open_film
from esc_plugin.video.names import is_film
from esc_plugin.video.parts import Parts, folder_of
from esc_plugin.video.shots import CUT, CutFinder, Timeline, look_through, spread
from esc_plugin.video.upscaling import STEPS, FilmUpscaling, record_in

from .films import av, frame_of, frames_in, make_film, packets_in, picture, planes_of, times_in, yuv
from .small import nearest_upscaler, random_upscaler

#: Their differences are those of a film with a changing clock.
UNEVEN = [0, 40, 95, 110, 230, 231, 300, 360]


@pytest.fixture(scope="module")
def nearest() -> Upscaler:
    return nearest_upscaler()


@pytest.fixture(scope="module")
def random() -> Upscaler:
    return random_upscaler()


def pictures(count: int, **size: int) -> list[np.ndarray]:
    return [picture(i / 10, **size) for i in range(count)]


def upscaled(upscaler: Upscaler, source: Path, target: Path, factor: int = 2, **options: Any) -> Path:
    film = open_film(str(source))
    frame = options.pop("framing", Framing(scale=factor)).frame(*film.size, 1)
    progress, cancel = options.pop("progress", None), options.pop("cancel", None)
    FilmUpscaling(upscaler, film, target, frame, **options)(progress, cancel)
    return target


# ---- what is kept


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p", "yuv422p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_frames_become_rgb_and_back_by_the_stated_matrix_and_range(
    matrix: int, full: bool, pixel_format: str, nearest: Upscaler, tmp_path: Path
) -> None:
    bits = 10 if "10" in pixel_format else 8
    source = make_film(tmp_path / "a.mkv", pictures(2), pixel_format=pixel_format, matrix=matrix, full=full)
    film = open_film(str(source))
    convert = Conversion(film.colours, film.depth, pixel_format)
    first = convert.rgb(next(film.frames()))
    # libswscale takes 10 bits for 0.4 percent of a full range; chroma that was thinned out isn't what it was.
    assert np.abs(first / (2**film.depth - 1) - picture()).max() < (2.5 if "444" in pixel_format else 10) / 255
    result = upscaled(nearest, source, tmp_path / "b.mkv", 1, lossless=True)
    for before, after in zip(frames_in(source), frames_in(result), strict=True):
        assert (after.colorspace, after.color_range, after.format.name) == (matrix, 2 if full else 1, pixel_format)
        for old, new in zip(planes_of(before), planes_of(after), strict=True):
            assert np.abs(old - new).max() <= 2 ** (bits - 8)  # one level of 8 bits


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_times_sound_and_tags_are_kept(suffix: str, nearest: Upscaler, tmp_path: Path) -> None:
    def set_up(container: Any, stream: Any) -> None:
        container.metadata.update({"title": "Löwen", "comment": "mine"})
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        if hasattr(container, "set_chapters"):
            container.set_chapters([{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {}}])

    size = {"height": 48, "width": 64}
    source = make_film(
        tmp_path / f"a{suffix}",
        pictures(8, **size),
        times=UNEVEN,
        codec="libx264",
        pixel_format="yuv420p",
        sound="aac",
        set_up=set_up,
    )
    result = upscaled(nearest, source, tmp_path / f"b{suffix}")
    assert times_in(result) == times_in(source) == [t / 1000 for t in UNEVEN]
    assert packets_in(result, "audio") == packets_in(source, "audio")
    film = open_film(str(result))
    tags = {key.lower(): value for key, value in film.metadata.items()}
    assert tags["title"] == "Löwen"
    assert tags["comment"].splitlines()[0] == "mine"
    record = record_in(film)
    assert (record["image"], record["model"], record["size"]) == (source.name, "nearest", [96, 128])
    assert (film.aspect, film.size) == (Fraction(4, 3), (96, 128))
    with av.open(str(result)) as container:
        assert not hasattr(container, "set_chapters") or len(container.chapters()) == 1
        assert container.streams.video[0].codec_context.name == "h264"


def test_a_film_that_shall_be_turned_is_turned(nearest: Upscaler, tmp_path: Path) -> None:
    def set_up(container: Any, stream: Any) -> None:
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("needs a PyAV that writes rotations")
        stream.set_display_rotation(90)
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    source = make_film(
        tmp_path / "a.mp4", pictures(2, height=32, width=48), codec="libx264", pixel_format="yuv444p", set_up=set_up
    )
    result = upscaled(nearest, source, tmp_path / "b.mp4", 1)
    (before, *_), (after, *_) = frames_in(source), frames_in(result)
    assert (before.rotation, after.rotation, after.height, after.width) == (90, 0, 48, 32)
    assert np.abs(np.rot90(planes_of(before)[0]) - planes_of(after)[0]).mean() < 2
    assert open_film(str(result)).aspect == Fraction(3, 4)


def test_what_is_taken_for_sd_is_told_to_be_sd(nearest: Upscaler, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(1), matrix=2)
    assert frames_in(source)[0].colorspace == 2
    result = upscaled(nearest, source, tmp_path / "b.mkv")
    assert frames_in(result)[0].colorspace == 6
    assert [guessed_matrix(size) for size in ((576, 720), (720, 1280), (1080, 608))] == [6, 1, 1]


def test_an_odd_last_row_and_column_are_cut_where_colour_is_shared(nearest: Upscaler, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", [picture(0, 33, 47)], pixel_format="yuv420p")
    assert frames_in(upscaled(nearest, source, tmp_path / "b.mkv", 1, lossless=True))[0].width == 46
    source = make_film(tmp_path / "c.mkv", [picture(0, 33, 47)], pixel_format="yuv444p")
    (frame,) = frames_in(upscaled(nearest, source, tmp_path / "d.mkv", 1))
    assert (frame.height, frame.width) == (33, 47)


def test_a_box_can_be_filled(nearest: Upscaler, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(2))
    whole = upscaled(nearest, source, tmp_path / "b.mkv", lossless=True)
    filled = upscaled(nearest, source, tmp_path / "c.mkv", framing=Framing(width=64, height=64, mode="fill"), lossless=True)
    for before, after in zip(frames_in(whole), frames_in(filled), strict=True):
        np.testing.assert_array_equal(planes_of(before)[0][:, 16:80], planes_of(after)[0])


@pytest.mark.parametrize(
    ("suffix", "pixel_format", "codec"),
    [(".mp4", "yuv420p10le", "hevc"), (".webm", "yuv420p", "vp9"), (".webm", "yuv420p10le", "av1")],
)
def test_other_depths_and_containers_have_their_codecs(
    suffix: str, pixel_format: str, codec: str, nearest: Upscaler, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(3, height=64, width=64), pixel_format=pixel_format)
    result = upscaled(nearest, source, tmp_path / f"b{suffix}", 1)
    assert times_in(result) == times_in(source)
    with av.open(str(result)) as container:
        stream = container.streams.video[0]
        assert stream.codec.canonical_name == codec
        assert stream.codec_context.codec_tag == {"hevc": "hvc1"}.get(codec, stream.codec_context.codec_tag)
    for before, after in zip(frames_in(source), frames_in(result), strict=True):
        assert after.format.name == pixel_format
        assert np.abs(planes_of(before)[0] - planes_of(after)[0]).mean() < (2 if "10" not in pixel_format else 8)


def test_a_part_of_a_film_begins_at_its_beginning(nearest: Upscaler, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(8), times=UNEVEN, sound="aac")
    film = open_film(str(source), window=(0.095, 0.2))
    target = tmp_path / "b.mkv"
    FilmUpscaling(nearest, film, target, Frame(film.size), lossless=True)()
    assert times_in(target) == [0, 0.015, 0.135, 0.136]
    assert set(packets_in(target, "audio")) <= set(packets_in(source, "audio"))
    assert 0 < len(packets_in(target, "audio")) < len(packets_in(source, "audio"))


def test_quality_becomes_a_rate_factor() -> None:
    assert [factor_for(quality, 51) for quality in (None, 69, 100, 1)] == [16, 16, 1, 50]
    assert factor_for(None, 63) == 20


# ---- what is refused, before any frame is upscaled


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("b.webm", {}, "webm can't hold the audio of the film \\(aac\\)"),
        ("b.avi", {}, "can't write a film to 'b.avi'; what can be written is .mp4"),
        ("b.mp4", {"lossless": True}, "goes into .mkv, not 'b.mp4'"),
        ("b.mkv", {"lossless": True, "quality": 90}, "has no quality"),
        ("b.mp4", {"shared": "C"}, "shared must be one of shot, frame, T for a film, not 'C'"),
        ("b.mp4", {"options": {"consistency": True}, "frame": Frame((33, 48))}, "whole factor"),
    ],
)
def test_impossible_results_are_refused(
    target: str, options: dict[str, Any], said: str, nearest: Upscaler, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "a.mp4", pictures(2), codec="libx264", pixel_format="yuv420p", sound="aac")
    told: list[tuple[int, int]] = []
    film = open_film(str(source))
    given = {"frame": Frame(film.size)} | options
    with pytest.raises(EscError, match=said):
        FilmUpscaling(nearest, film, tmp_path / target, **given)(lambda *at: told.append(at))
    assert told == []
    assert list(tmp_path.iterdir()) == [source]


def test_unusable_films_say_why(tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"no film")
    with pytest.raises(ImageError, match=r"can't read the film '.*junk.mp4': Invalid data"):
        open_film(str(tmp_path / "junk.mp4"))
    with pytest.raises(ImageError, match=r"can't read the film '.*gone.mp4': No such file"):
        open_film(str(tmp_path / "gone.mp4"))
    source = make_film(tmp_path / "a.mkv", pictures(1))
    with pytest.raises(ImageError, match=r"claims frames of (48 x 32 pixels, )?more than 700"):
        open_film(str(source), 700)
    with av.open(str(tmp_path / "clear.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "bgra"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 48, 4), np.uint8), "bgra")))
        container.mux(stream.encode(None))
    with pytest.raises(ImageError, match="has transparency"):
        open_film(str(tmp_path / "clear.mkv"))


def test_of_a_film_that_breaks_off_all_that_is_there_is_taken(nearest: Upscaler, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(8, height=64, width=64))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    result = upscaled(nearest, source, tmp_path / "b.mkv", 1)
    assert times_in(result) == times_in(source)
    assert 0 < len(times_in(result)) < 8


def ending(path: Path, **how: Any) -> str:
    film = open_film(str(path), **how)
    return broken_off(film, look_through(film))


@pytest.mark.parametrize("times", [(), UNEVEN])
@pytest.mark.parametrize("sound", [None, "aac"])
@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "ffv1"), ("mkv", "libx264"), ("mp4", "libx264"), ("avi", "mpeg4"), ("ts", "libx264")]
)
def test_whole_films_break_off_nowhere(suffix: str, codec: str, sound: str | None, times: list[int], tmp_path: Path) -> None:
    kind = "yuv444p" if codec == "ffv1" else "yuv420p"
    source = tmp_path / f"a.{suffix}"
    make_film(source, pictures(8), times=times, codec=codec, pixel_format=kind, sound=sound)
    assert ending(source) == ""


def test_where_a_film_breaks_off_is_told_from_what_its_file_says(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(8))
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) * 2 // 3])
    count = len(frames_in(source))
    assert ending(source) == f"after {count} of about 8 frames"
    assert ending(source, window=(0.0, 0.08)) == ""
    # Without a tag of the stream, the header of the file says it.
    source.write_bytes(whole.replace(b"DURATION", b"DURATIOX"))
    assert ending(source) == ""
    source.write_bytes(whole.replace(b"DURATION", b"DURATIOX")[: len(whole) * 2 // 3])
    assert ending(source) == f"after {count} of about 8 frames"


def test_a_film_that_is_shorter_than_its_sound_is_whole(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(8), sound="aac")
    with av.open(str(source)) as original, av.open(str(tmp_path / "b.mkv"), "w") as container:
        streams = {stream.index: container.add_stream_from_template(stream) for stream in original.streams}
        for packet in original.demux():
            if packet.size and (packet.stream.type == "audio" or packet.pts < 80):
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
    short = tmp_path / "b.mkv"
    assert ending(short) == ""
    short.write_bytes(short.read_bytes().replace(b"DURATION", b"DURATIOX"))
    assert ending(short) == ""


def packets_damaged(path: Path, *numbers: int) -> Path:
    """Turn frames of an FFV1 film into nonsense."""
    content = path.read_bytes()
    for number in numbers:
        packet = packets_in(path, "video")[number]
        content = content.replace(packet, b"\xff" * len(packet))
    path.write_bytes(content)
    return path


def test_last_frames_that_cant_be_decoded_are_told_on_however_many_cores(nearest: Upscaler, tmp_path: Path) -> None:
    source = packets_damaged(make_film(tmp_path / "a.mkv", pictures(8)), 6, 7)
    assert ending(source) == "after 6 frames"
    notes: list[str] = []
    result = upscaled(nearest, source, tmp_path / "b.mkv", 1, lossless=True, tell=notes.append)
    assert len(frames_in(result)) == 6
    assert record_in(open_film(str(result)))["breaks_off"] == "after 6 frames"
    assert "breaks off after 6 frames" in notes[0]
    with pytest.raises(ImageError, match=r"^can't read the film '.*c.mkv': Invalid data[^\n]*$"):
        ending(packets_damaged(make_film(tmp_path / "c.mkv", pictures(8), codec="mjpeg", pixel_format="yuvj444p"), 4))
    with pytest.raises(ImageError, match=r"^can't read the film '.*d.mkv': Invalid data[^\n]*$"):
        open_film(str(packets_damaged(make_film(tmp_path / "d.mkv", pictures(2)), 0, 1)))


@pytest.mark.parametrize(("suffix", "codec", "kind"), [("mov", "png", "rgb24"), ("avi", "mjpeg", "yuvj420p")])
def test_frames_that_are_too_large_are_not_decoded(suffix: str, codec: str, kind: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 600, 600, kind
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((600, 600, 3), np.uint8)).reformat(format=kind)))
        container.mux(stream.encode(None))
    with pytest.raises(ImageError, match="claims frames of more than 100,000 pixels"):
        open_film(str(tmp_path / f"a.{suffix}"), 100_000)
    assert open_film(str(tmp_path / f"a.{suffix}"), 360_000).size == (600, 600)


def test_samples_that_a_film_has_no_bytes_for_are_refused_before_there_is_room_for_them(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mp4", pictures(3), codec="libx264", pixel_format="yuv420p")
    content = source.read_bytes()
    place = content.index(b"stsz") + 8  # behind version and flags: size of all, then their number
    source.write_bytes(content[:place] + struct.pack(">II", 1, 20_000_000) + content[place + 8 :])
    with pytest.raises(ImageError, match="claims 20,000,000 samples of film or sound, but has only"):
        open_film(str(source))
    nested = b"".join(struct.pack(">I4s", 8 * (5000 - i), b"moov") for i in range(5000))
    source.write_bytes(nested)
    with pytest.raises(ImageError, match="can't read the film"):
        open_film(str(source))


def test_no_frame_is_lost_by_ticks_that_are_too_fine(nearest: Upscaler, tmp_path: Path) -> None:
    rate = Fraction(2**31 - 1, 2**30)
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=rate)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "rgb24"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 40 * number, np.uint8))
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert open_film(str(tmp_path / "a.mov")).time_base < Fraction(1, 2**30)
    result = upscaled(nearest, tmp_path / "a.mov", tmp_path / "b.mov")
    assert times_in(result) == pytest.approx([0, 0.5, 1], abs=1e-5)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_frame_that_is_shown_for_days(suffix: str, nearest: Upscaler, tmp_path: Path) -> None:
    """MP4 has 31 bits for that; beyond them, frames after it came at wrong times, or all was refused after the work."""
    longest = (2**31 - 2**10) // 16
    source = make_film(tmp_path / "a.mkv", pictures(3), times=[0, longest, longest + 40])
    assert times_in(upscaled(nearest, source, tmp_path / f"b.{suffix}")) == [0, longest / 1000, (longest + 40) / 1000]
    source = make_film(tmp_path / "a.mkv", pictures(3), times=[0, 40, 41 + longest])
    with pytest.raises(ImageError, match=r"frame 1 of .* is shown for 37\.3 hours, and a film can say 37\.3 at most"):
        upscaled(nearest, source, tmp_path / f"c.{suffix}")
    assert not list(tmp_path.glob("c.*"))


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_frames_before_the_time_0_are_shown_too(suffix: str, nearest: Upscaler, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(4), times=[0, 40, 80, 120], sound="aac")
    film = open_film(str(source))
    timeline = Timeline([-80, -40, 0, 40], 80, [0])
    upscaled(nearest, source, tmp_path / "whole.mkv", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("esc_plugin.video.upscaling.look_through", lambda *_: timeline)
        result = upscaled(nearest, source, tmp_path / f"b.{suffix}", 1)
    frames = frames_in(source)
    for frame in frames:
        frame.pts -= 80
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("esc_plugin.video.film.decoded", lambda *_: iter(frames))
        assert [frame.pts for frame in film.frames()] == [-80, -40, 0, 40]
    assert times_in(result) == [0, 0.04, 0.08, 0.12]
    with av.open(str(result)) as container, av.open(str(source)) as before:
        late, early = (next(file.demux(audio=0)) for file in (container, before))
        assert float(late.pts * late.time_base - early.pts * early.time_base) == pytest.approx(0.08, abs=0.002)


def test_tags_in_another_encoding_are_no_reason_to_refuse_a_film(nearest: Upscaler, tmp_path: Path) -> None:
    def set_up(container: Any, _: Any) -> None:
        container.metadata.update({"title": "caf\u00e9 \u00e0 Paris", "comment": "[" * 5000})

    source = make_film(tmp_path / "a.mkv", pictures(2), set_up=set_up)
    source.write_bytes(source.read_bytes().replace("\u00e9".encode(), b"\xe9!"))
    result = open_film(str(upscaled(nearest, source, tmp_path / "b.mkv")))
    assert {key.lower(): value for key, value in result.metadata.items()}["title"] == "caf\ufffd! \u00e0 Paris"
    assert record_in(open_film(str(source))) == {}  # it is no record, however deep
    assert record_in(result)["image"] == "a.mkv"


def test_x265_gets_no_films_that_are_too_narrow_for_it(nearest: Upscaler, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(3, width=24), pixel_format="yuv444p10le")
    film = open_film(str(source))
    assert ("cutree=0" in encoding.encoding_for(film, (64, 48), tmp_path / "b.mp4").options["x265-params"]) is True
    assert ("cutree=0" in encoding.encoding_for(film, (64, 64), tmp_path / "b.mp4").options["x265-params"]) is False
    assert len(frames_in(upscaled(nearest, source, tmp_path / "b.mp4"))) == 3


def test_films_are_told_by_suffix_and_content(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mp4", pictures(1), codec="libx264", pixel_format="yuv420p")
    unnamed = source.rename(tmp_path / "film")
    assert is_film(unnamed)
    assert [is_film(name) for name in ("a.MP4", "b.webm", "c.png", "d.avif", tmp_path, "gone")] == [True, True] + 4 * [False]


# ---- shots


def test_cuts_are_found_and_motion_is_none() -> None:
    rng = np.random.default_rng(0)
    scenes = [rng.integers(0, 256, (36, 64)).astype(np.uint8) for _ in range(3)]
    film = [np.roll(scene, step, 1) for scene in scenes for step in range(4)]
    calm = [np.full((36, 64), level, np.uint8) for level in range(0, 250, int(CUT) - 2)]
    finder = CutFinder()
    assert [finder(frame) for frame in calm] == [True] + [False] * (len(calm) - 1)
    smooth = [np.repeat(np.arange(64, dtype=np.uint8)[None] + level, 36, 0) for level in (0, 4, 8, 120, 124, 128, 10, 14)]
    finder = CutFinder()
    assert [i for i, frame in enumerate(smooth) if finder(frame)] == [0, 3, 6]
    # What moves as quickly as that, all the time, is one shot: nothing changes in how it changes.
    finder = CutFinder()
    assert sum(finder(frame) for frame in film[:4]) <= 2


def test_surveyed_frames_are_spread_over_a_shot() -> None:
    assert spread(range(10, 20), 5) == [11, 13, 15, 17, 19]
    assert spread(range(3, 5), 5) == [3, 4]
    timeline = Timeline(list(range(9)), 9, [0, 4])
    assert (timeline.shots("shot"), timeline.shots("T")) == ([range(4), range(4, 9)], [range(9)])


def test_a_shot_has_the_means_of_its_frames(random: Upscaler, tmp_path: Path) -> None:
    dark, bright = [p / 4 for p in pictures(6)], [0.7 + p / 4 for p in pictures(4)]
    film = open_film(str(make_film(tmp_path / "a.mkv", [*dark, *bright])))
    timeline = look_through(film)
    assert timeline.starts == [0, 6]
    convert = Conversion(film.colours, 8, "yuv444p")
    enlarge = FrameEnlarger(random, film.size, (64, 96), 8, {})
    means = ShotMeans(film, convert, enlarge, timeline.shots("shot"))
    frames = [convert.rgb(frame) for frame in film.frames()]
    for number, shot in ((0, range(6)), (5, range(6)), (7, range(6, 10))):
        stack = np.stack([frames[i] for i in spread(shot)])
        expected = random.survey(stack, axes="TYXS", intensity="range", shared="T")
        (known,) = means.known(number, None, None)
        np.testing.assert_array_equal(known.colours[0].means, expected.planes[0].colours[0].means)


@pytest.mark.parametrize("shared", ["shot", "frame", "T"])
def test_frames_are_those_of_the_library(shared: str, random: Upscaler, tmp_path: Path) -> None:
    film = open_film(str(make_film(tmp_path / "a.mkv", pictures(4))))
    convert = Conversion(film.colours, 8, "yuv444p")
    stack = np.stack([convert.rgb(frame) for frame in film.frames()])
    together = None if shared == "frame" else "T"
    expected = random(stack, axes="TYXS", intensity="range", shared=together)
    seen: list[np.ndarray] = []
    work = FilmUpscaling(
        random,
        film,
        tmp_path / "b.mkv",
        Frame((64, 96)),
        shared=shared,
        lossless=True,
        watch=lambda _, made: seen.append(made),
    )
    work()
    np.testing.assert_array_equal(np.stack(seen), expected)
    assert record_in(open_film(str(tmp_path / "b.mkv")))["shared"] == shared


# ---- stopped and resumed


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "SEGMENT_FRAMES", (4, 4))


def pixels_of(path: Path) -> np.ndarray:
    return np.stack([np.concatenate([p.ravel() for p in planes_of(frame)]) for frame in frames_in(path)])


@pytest.mark.usefixtures("short_segments")
def test_stopped_work_goes_on_behind_the_last_whole_segment(random: Upscaler, tmp_path: Path) -> None:
    source = make_film(
        tmp_path / "a.mp4", pictures(10), times=[*UNEVEN, 400, 500], codec="libx264", pixel_format="yuv420p", sound="aac"
    )
    whole = upscaled(random, source, tmp_path / "whole.mp4")
    target, made = tmp_path / "b.mp4", []
    with pytest.raises(Cancelled):
        upscaled(random, source, target, cancel=lambda: len(made) > 5, watch=lambda *pair: made.append(pair))
    assert not target.exists()
    assert sorted(path.name for path in folder_of(target).iterdir() if path.suffix) == ["000000.mkv", "job.json"]
    with pytest.raises(EscError, match="unfinished film of other settings"):
        upscaled(random, source, target, quality=10)
    made.clear()
    told: list[tuple[int, int]] = []
    upscaled(random, source, target, watch=lambda *pair: made.append(pair), progress=lambda *at: told.append(at))
    assert len(made) == 6
    assert told[0] == (4 * STEPS, 10 * STEPS)
    assert told[-1] == (10 * STEPS, 10 * STEPS)
    assert told == sorted(told)
    np.testing.assert_array_equal(pixels_of(target), pixels_of(whole))
    assert times_in(target) == times_in(source)
    assert packets_in(target, "audio") == packets_in(source, "audio")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "whole.mp4"]


@pytest.mark.usefixtures("short_segments")
def test_settings_can_be_changed_by_starting_anew(nearest: Upscaler, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(6))
    with pytest.raises(Cancelled):
        upscaled(nearest, source, tmp_path / "b.mkv", cancel=iter([False] * 40 + [True]).__next__)
    unfinished = folder_of(tmp_path / "b.mkv") / ".esc-01234567-0123456789ab" / ".new.mkv"
    unfinished.parent.mkdir(parents=True)
    unfinished.touch()
    made: list[Any] = []
    upscaled(nearest, source, tmp_path / "b.mkv", 1, overwrite=True, watch=lambda *pair: made.append(pair))
    assert len(made) == 6
    assert frames_in(tmp_path / "b.mkv")[0].width == 48


def test_work_that_was_stopped_before_a_whole_segment_leaves_nothing(nearest: Upscaler, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(6))
    made: list[Any] = []
    with pytest.raises(Cancelled):
        upscaled(nearest, source, tmp_path / "b.mkv", cancel=lambda: bool(made), watch=lambda *pair: made.append(pair))
    assert list(tmp_path.iterdir()) == [source]


def test_only_what_is_ours_is_removed_from_a_folder_of_parts(nearest: Upscaler, tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "a.mkv", pictures(2)), tmp_path / "b.mkv"
    parts = folder_of(target)
    (parts / "mine").mkdir(parents=True)
    (parts / "mine" / "notes.txt").write_text("words")
    (parts / "job.json").write_text("[" * 100_000)
    (parts / "000007.mkv").write_bytes(b"nobody knows what of")
    upscaled(nearest, source, target)
    assert len(frames_in(target)) == 2
    assert [path.name for path in parts.iterdir()] == ["mine"]
    assert (parts / "mine" / "notes.txt").read_text() == "words"
    (parts / "000000.mkv").mkdir()
    with pytest.raises(EscError, match=r"^can't write [^\n]*parts'"):
        upscaled(nearest, source, target)


def test_two_processes_dont_make_the_same_film(tmp_path: Path) -> None:
    first, second = (Parts(tmp_path / "b.mkv", {}).claimed() for _ in range(2))
    with first, pytest.raises(EscError, match="another process works on"), second:
        pass
    assert not list(tmp_path.iterdir())


def test_who_has_finished_takes_nothing_of_who_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (Parts(tmp_path / "b.mkv", {"n": n}) for n in range(2))
    release = FileLock.release
    with ExitStack() as stack:

        def begin_then(lock: FileLock, *given: Any, **options: Any) -> None:
            """Let the second one begin as soon as it can."""
            release(lock, *given, **options)
            monkeypatch.undo()
            stack.enter_context(second.claimed())

        with first.claimed():
            monkeypatch.setattr(FileLock, "release", begin_then)
        assert second._journal() == {"n": 1}


CHILD = """
import sys
from pathlib import Path
from esc_plugin.arrays.framing import Frame
from esc_plugin.video import encoding
from esc_plugin.video.film import open_film
from esc_plugin.video.upscaling import FilmUpscaling
from tests.small import random_upscaler
encoding.SEGMENT_FRAMES = (4, 4)
film = open_film(sys.argv[1])
FilmUpscaling(random_upscaler(), film, Path(sys.argv[2]), Frame((64, 96)))()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system can't kill a process without a word")
def test_a_killed_process_is_gone_on_with(random: Upscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_film(tmp_path / "a.mkv", pictures(200))
    target = tmp_path / "b.mkv"
    with subprocess.Popen([sys.executable, "-c", CHILD, str(source), str(target)], cwd=Path(__file__).parents[1]) as child:
        while child.poll() is None and not (folder_of(target) / "000002.mkv").exists():
            time.sleep(0.01)
        child.kill()
    assert not target.exists()
    assert (folder_of(target) / "000002.mkv").exists()
    monkeypatch.setattr(encoding, "SEGMENT_FRAMES", (4, 4))
    made: list[Any] = []
    upscaled(random, source, target, watch=lambda *pair: made.append(pair))
    assert len(made) <= 200 - 3 * 4
    whole = upscaled(random, source, tmp_path / "whole.mkv")
    np.testing.assert_array_equal(pixels_of(target), pixels_of(whole))
    assert not folder_of(target).exists()


# ---- the oracle itself


def test_white_is_white() -> None:
    white, black = np.ones((2, 2, 3)), np.zeros((2, 2, 3))
    assert [int(plane[0, 0]) for plane in yuv(white, 1, False, 8)] == [235, 128, 128]
    assert [int(plane[0, 0]) for plane in yuv(black, 9, False, 10)] == [64, 512, 512]
    planes = yuv(picture(), 6, True, 8)
    assert all((a == b).all() for a, b in zip(planes, planes_of(frame_of(planes, "yuv444p")), strict=True))
    assert json.dumps(record_in(type("Film", (), {"metadata": {"comment": "words"}})())) == "{}"  # type: ignore[arg-type]
