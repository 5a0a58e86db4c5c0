"""Many files, and the command line."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from esc_plugin import Cancelled, ImageError, Upscaler, cli, load_model
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.find import FoundImage, find_images, find_originals
from esc_plugin.batch.jobs import Job, plan_jobs
from esc_plugin.batch.refused import refusals, sift, split_results
from esc_plugin.files import read_provenance

from .small import nearest_upscaler
from .systems import symlink

NEAREST = nearest_upscaler()


def picture(path: Path, value: int = 100, size: tuple[int, int] = (5, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def tree(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def run(*arguments: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command line with a network that takes no time, and return the exit code."""
    monkeypatch.setattr(sys, "argv", ["esc-sr", *map(str, arguments)])
    monkeypatch.setattr("esc_plugin.upscaler.Upscaler", lambda *_, **__: NEAREST)
    with pytest.raises(SystemExit) as done:
        cli.main()
    return int(done.value.code or 0)


def test_folders_patterns_and_files_are_found(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.tif", ".hidden.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    assert [found.path.name for found in find_images([tmp_path])] == ["a.JPG", "b.png"]
    found = find_images([tmp_path], recursive=True)
    assert [(f.path.name, str(f.inside)) for f in found] == [("a.JPG", "."), ("b.png", "."), ("c.tif", "sub")]
    assert [found.path.name for found in find_images([f"{tmp_path}/*.png"])] == ["b.png"]
    assert len(find_images([tmp_path, tmp_path / "b.png"])) == 2
    odd = picture(tmp_path / "x[1].png")
    assert find_images([odd]) == [FoundImage(odd)]
    (tmp_path / "empty").mkdir()
    for missing, message in ((f"{tmp_path}/*.webp", "nothing matches"), (tmp_path / "empty", "no images")):
        with pytest.raises(ImageError, match=message):
            find_images([missing])


@pytest.mark.parametrize(
    ("output", "label", "suffix", "target"),
    [
        (None, "2", None, "in/a_x2.jpg"),
        (None, "2.7", ".png", "in/a_x2.7.png"),
        (None, "3840x2160", None, "in/a_3840x2160.jpg"),
        (None, "w3000", None, "in/a_w3000.jpg"),
        ("out", "2", None, "out/a_x2.jpg"),
        ("b.png", "2", None, "b.png"),
        ("{folder}/{stem}_{model}_x{scale}.{ext}", "2", None, "in/a_nano_x2.jpg"),
        ("{stem}.png", "2", None, "a.png"),
        ("{stem}_{from}.{ext}", "2", ".png", "a_jpg.png"),
    ],
)
def test_where_a_result_goes(output: str | None, label: str, suffix: str | None, target: str) -> None:
    (job,) = plan_jobs([FoundImage(Path("in/a.jpg"))], Path(output) if output else None, "nano", label, suffix)
    assert job.target == Path(target)


def test_subfolders_and_formats_that_are_only_read() -> None:
    (job,) = plan_jobs([FoundImage(Path("in/sub/a.gif"), Path("sub"))], Path("out"), "nano", "2")
    assert job.target == Path("out/sub/a_x2.png")
    (job,) = plan_jobs([FoundImage(Path("a.ome.tif"))], None, "nano", "2")
    assert job.target == Path("a_x2.ome.tif")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("one.png", "several images"),
        ("{model}.png", "several images"),
        ("{name}.png", "names ..name"),
        ("{stem.png", "template"),
    ],
)
def test_outputs_that_can_not_be(output: str, message: str) -> None:
    images = [FoundImage(Path("a.png")), FoundImage(Path("b.png"))]
    with pytest.raises(ImageError, match=message):
        plan_jobs(images, Path(output), "nano", "2")


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"{name}.png", tmp_path / "out" / f"{name}.png") for name in ("a", "bad", "missing", "c")]
    picture(jobs[0].source), picture(jobs[3].source)
    jobs[1].source.write_bytes(b"no image")
    seen: list[float] = []
    summary = Batch(NEAREST).run(jobs, progress=lambda done, total: seen.append(done / total))
    assert summary.done == [jobs[0], jobs[3]]
    assert [job for job, _ in summary.failed] == jobs[1:3]
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert tree(tmp_path / "out") == ["a.png", "c.png"]


def test_each_image_is_named_where_a_folder_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job(picture(tmp_path / name), tmp_path / "out" / name) for name in ("a.png", "b.png")]
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("os.access", lambda *_: False)
    early: list[str] = []
    assert sift(jobs, lambda job, reason: early.append(str(reason))) == []
    late = [reason for _, reason in Batch(NEAREST).run(jobs).failed]
    for reasons in (early, late):
        assert [name in reason for name, reason in zip(("a.png", "b.png"), reasons, strict=True)] == [True, True]


def test_what_exists_is_kept_skipped_or_replaced(tmp_path: Path) -> None:
    job = Job(picture(tmp_path / "a.png"), tmp_path / "out.png")
    job.target.write_bytes(b"precious")
    assert "is there already" in Batch(NEAREST).run([job]).failed[0][1]
    assert Batch(NEAREST, skip_existing=True).run([job]).skipped == [job]
    assert job.target.read_bytes() == b"precious"
    assert Batch(NEAREST, overwrite=True).run([job]).done == [job]
    with Image.open(job.target) as image:
        assert image.size == (10, 8)


@pytest.mark.parametrize("way", ["path", "symlink", "hard link", "case"])
def test_no_file_that_the_run_reads_is_written(tmp_path: Path, way: str) -> None:
    """Not even with ``overwrite``, and not under another name of the same file."""
    first, second = picture(tmp_path / "a.png", 50), picture(tmp_path / "a_x2.png", 60)
    target = {"path": second, "case": tmp_path / "A_X2.png"}.get(way, tmp_path / "other.png")
    if way == "symlink":
        symlink(target, second)
    if way == "hard link":
        target.hardlink_to(second)
    jobs = [Job(first, target), Job(second, tmp_path / "a_x2_x2.png"), Job(first, tmp_path / "." / "a.png")]
    before = [path.read_bytes() for path in (first, second)]
    summary = Batch(NEAREST, overwrite=True).run(jobs)
    assert summary.done == jobs[1:2]
    assert all("the same run reads that file" in reason for _, reason in summary.failed)
    assert [path.read_bytes() for path in (first, second)] == before


def test_the_second_input_is_not_overwritten_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = picture(tmp_path / "ch.png"), picture(tmp_path / "ch_x2.png", 60)
    before = second.read_bytes()
    assert run("upscale", first, second, "--overwrite", monkeypatch=monkeypatch) == 1
    assert second.read_bytes() == before
    assert tree(tmp_path) == ["ch.png", "ch_x2.png", "ch_x2_x2.png"]
    assert "1 upscaled, 0 skipped, 1 failed" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--skip-existing"], ["--overwrite"]])
def test_a_folder_run_again_does_not_upscale_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    formats = ("a.png", "b.jpg", "c.webp", "d.avif", "e.tif")
    for name in formats:
        picture(tmp_path / name)
    assert run("upscale", tmp_path, monkeypatch=monkeypatch) == 0
    once = tree(tmp_path)
    assert len(once) == 10
    run("upscale", tmp_path, *options, monkeypatch=monkeypatch)
    assert tree(tmp_path) == once
    said = capsys.readouterr().err
    assert "5 results of earlier runs are left out" in said
    assert "--include-results" in said
    run("upscale", tmp_path, "--skip-existing", "--include-results", monkeypatch=monkeypatch)
    assert len(tree(tmp_path)) == 15


def test_other_scales_and_a_folder_of_results_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png")
    run("upscale", tmp_path, monkeypatch=monkeypatch)
    run("upscale", tmp_path, "-s", "4", monkeypatch=monkeypatch)
    run("upscale", tmp_path, "-r", "-o", tmp_path / "out", monkeypatch=monkeypatch)
    wanted = ["a.png", "a_x2.png", "a_x4.png", "out/a_x2.png"]
    assert tree(tmp_path) == wanted
    run("upscale", tmp_path, "-r", "-o", tmp_path / "out", "--skip-existing", monkeypatch=monkeypatch)
    assert tree(tmp_path) == wanted
    assert run("upscale", f"{tmp_path}/a_*.png", monkeypatch=monkeypatch) == 1  # nothing but results
    assert run("upscale", tmp_path / "a_x2.png", monkeypatch=monkeypatch) == 0  # named, so meant
    assert (tmp_path / "a_x2_x2.png").exists()


def test_only_our_results_count_as_such(tmp_path: Path) -> None:
    """A name alone makes no result; a record does, whatever the name, while the image that it names is there."""
    picture(tmp_path / "a.png"), picture(tmp_path / "a_x2.png"), picture(tmp_path / "ab.png")
    Batch(NEAREST).upscale_file(Job(tmp_path / "a.png", tmp_path / "photo.png"))
    Batch(NEAREST).upscale_file(Job(tmp_path / "ab.png", tmp_path / "ab_x2.png"))
    images, results = split_results(plan_jobs(find_images([tmp_path]), None, "nearest", "2"))
    assert [job.source.name for job in results] == ["ab_x2.png", "photo.png"]
    assert [job.source.name for job in images] == ["a.png", "a_x2.png", "ab.png"]
    (tmp_path / "a.png").unlink()
    assert len(split_results(plan_jobs(find_images([tmp_path]), None, "nearest", "2"))[1]) == 1


def test_a_folder_that_goes_away_meanwhile_is_told_image_by_image(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "a.png")
    jobs = plan_jobs(find_images([tmp_path / "in"]), None, "nearest", "2")
    shutil.rmtree(tmp_path / "in")
    assert split_results(jobs) == (jobs, [])
    told: list[str | None] = []
    assert sift(jobs, lambda job, reason: told.append(reason), targets=False) == []
    assert told == [f"there is no file {str(tmp_path / 'in' / 'a.png')!r}."]


def test_a_pattern_that_the_shell_expands_takes_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "a.png"), picture(tmp_path / "b.tif")
    assert run("upscale", tmp_path, monkeypatch=monkeypatch) == 0
    once = tree(tmp_path)
    assert run("upscale", *sorted(tmp_path.iterdir()), "--skip-existing", monkeypatch=monkeypatch) == 0
    assert tree(tmp_path) == once
    assert "2 results of earlier runs are left out" in capsys.readouterr().err


def test_originals_are_no_results_of_ours(tmp_path: Path) -> None:
    """Whatever a result is called, a network is neither taught nor judged by it, unless somebody names it."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.png").mkdir()
    originals = [picture(folder / "a.png"), picture(folder / "deep" / "a_x2.tif")]
    results = [folder / "a_x2.png", folder / "deep" / "photo.jpg"]
    for result in results:
        Batch(NEAREST).upscale_file(Job(originals[0], result))
    picture(folder / "c.png").rename(folder / "._c.png")
    assert find_originals([folder]) == originals
    assert find_originals([folder], recursive=False) == originals[:1]
    assert find_originals([folder, results[0]]) == [*originals, results[0]]
    for path in originals:
        path.unlink()
    with pytest.raises(ImageError, match=r"all 2 images in the folder '.*in' are results of this program"):
        find_originals([folder])


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.avif", "a.tif"])
def test_a_result_says_how_it_was_made(tmp_path: Path, name: str) -> None:
    target = tmp_path / f"out{Path(name).suffix}"
    assert read_provenance(picture(tmp_path / name)) == {}
    Batch(NEAREST, options={"intensity": "range", "consistency": False}).upscale_file(Job(tmp_path / name, target))
    record = read_provenance(target)
    assert record["software"].startswith("esc-plugin ")
    assert (record["command"], record["model"], record["precision"]) == ("upscale", "nearest", "float32")
    assert (record["size"], record["levels"], record["consistency"]) == ([8, 10], [[0, 255]], False)
    again = tmp_path / f"again{Path(name).suffix}"
    Batch(NEAREST).upscale_file(Job(target, again))  # one record, the last
    assert again.read_bytes().count(b"provenance") == 1
    assert read_provenance(again)["size"] == [16, 20]


def test_images_that_would_go_to_one_file_do_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "a.jpg", "b.jpg"):
        picture(tmp_path / name)
    assert run("upscale", tmp_path, "--format", "png", "-o", tmp_path / "out", monkeypatch=monkeypatch) == 1
    assert tree(tmp_path / "out") == ["b_x2.png"]
    said = capsys.readouterr()
    assert "1 upscaled, 0 skipped, 2 failed" in said.out
    assert said.err.count("would all go to") == 2


def test_no_job_is_compared_with_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand of them would take a minute for that."""
    jobs = [Job(Path(f"{number}.png"), Path(f"out/{number % 2}.png")) for number in range(400)]
    compared, same = [], Job.__eq__

    def counted(job: Job, other: object) -> bool:
        compared.append(job)
        return same(job, other)

    monkeypatch.setattr(Job, "__eq__", counted)
    reasons = refusals(jobs)
    assert reasons[jobs[0]].startswith("'0.png' and '2.png', '4.png' and 197 more would all go to")
    assert len(compared) < 10 * len(jobs)


def test_any_failure_of_a_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of a stack that is read only when its turn comes, and errors that nobody thought of."""
    monkeypatch.setattr("esc_plugin.files.tiff_pixels.LAZY_BYTES", 0)
    stack = np.random.default_rng(0).integers(0, 255, (4, 20, 20)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "bad.tif", stack, compression="zlib", photometric="minisblack", metadata={"axes": "TYX"})
    with tifffile.TiffFile(tmp_path / "bad.tif") as tif:
        place = tif.pages[2].dataoffsets[0]  # type: ignore[union-attr]
    with (tmp_path / "bad.tif").open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 50)
    jobs = [Job(tmp_path / "bad.tif", tmp_path / "o.tif"), Job(picture(tmp_path / "b.png"), tmp_path / "b_x2.png")]
    summary = Batch(NEAREST).run(jobs)
    assert summary.done == jobs[1:]
    assert "page 3 of" in summary.failed[0][1]
    assert "\n" not in summary.failed[0][1]

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of\nthis world")

    monkeypatch.setattr("esc_plugin.arrays.stack.Stack.run", fail)
    summary = Batch(NEAREST, overwrite=True).run(jobs[1:])
    assert summary.failed[0][1] == f"{str(jobs[1].source)!r} failed: out of this world."


def test_names_can_not_write_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "\x1b]0;owned\x07\x1b[2J\u202egnp\n[red]x.png"
    try:
        picture(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes no such names")
    (tmp_path / f"bad{name}").write_bytes(b"no image")
    run("upscale", tmp_path, monkeypatch=monkeypatch)
    said = "".join(capsys.readouterr())
    assert not set(said) & set("\x1b\x07\u202e")
    assert "\\x1b[2J\\u202egnp\\n[red]x.png ->" in said


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    job = Job(picture(tmp_path / "a.png"), tmp_path / "file" / "a.png")
    assert "Not a directory" in Batch(NEAREST).run([job]).failed[0][1]


def test_a_lack_of_memory_is_the_files_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("esc_plugin.arrays.stack.Stack.run", fail)
    summary = Batch(NEAREST).run([Job(picture(tmp_path / "a.png"), tmp_path / "out.png")])
    assert "no memory" in summary.failed[0][1]


def test_each_error_of_a_batch_says_which_file_it_is_about(tmp_path: Path) -> None:
    jobs = [Job(picture(tmp_path / f"{i}.png"), tmp_path / "out" / f"{i}.png") for i in range(2)]
    summary = Batch(Upscaler(load_model("esc-nano-x2"), memory_limit=1)).run(jobs)
    assert ["memory" in text and str(job.source) in text for job, text in summary.failed] == [True, True]


def test_cancelling_a_batch_keeps_what_is_done(tmp_path: Path) -> None:
    jobs = [Job(picture(tmp_path / f"{i}.png"), tmp_path / "out" / f"{i}.png") for i in range(3)]
    with pytest.raises(Cancelled):
        Batch(NEAREST).run(jobs, cancel=lambda: (tmp_path / "out" / "0.png").exists())
    assert tree(tmp_path / "out") == ["0.png"]


def test_command_line_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "sub/b.jpg"):
        picture(tmp_path / "in" / name)
    (tmp_path / "in" / "c.png").write_bytes(b"no image")
    arguments = ["upscale", tmp_path / "in", "-r", "-o", tmp_path / "out"]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    assert tree(tmp_path / "out") == ["a_x2.png", "sub/b_x2.jpg"]
    captured = capsys.readouterr()
    assert "2 upscaled, 0 skipped, 1 failed" in captured.out
    assert captured.err.count("error:") == 1
    (tmp_path / "in" / "c.png").unlink()
    assert run(*arguments, "--skip-existing", monkeypatch=monkeypatch) == 0
    assert "0 upscaled, 2 skipped" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["esc_plugin.engine.run.Run.execute", "esc_plugin.files.write.encode"])
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def interrupt(first: Any, *_: Any) -> None:
        if not isinstance(first, io.BytesIO):  # in which is only tried what can be written
            raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupt)
    source = picture(tmp_path / "a.png")
    assert run("upscale", source, monkeypatch=monkeypatch) == 130
    assert tree(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (["-s", "2.7"], (14, 11)),
        (["--width", "30"], (30, 24)),
        (["--height", "12"], (15, 12)),
        (["--fit", "40x12"], (15, 12)),
        (["--fill", "40x12"], (40, 12)),
        (["--stretch", "40x12"], (40, 12)),
        (["--longest", "30"], (30, 24)),
        (["--shortest", "30"], (38, 30)),
        (["--shortest", "30", "--longest", "35"], (35, 28)),
        (["--result-megapixels", "0.002"], (50, 40)),
        (["-s", "1", "--passes", "1"], (5, 4)),
        ([], (10, 8)),
    ],
)
def test_command_line_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], size: Any) -> None:
    source = picture(tmp_path / "a.png")
    assert run("upscale", source, "-o", tmp_path / "out.png", *options, monkeypatch=monkeypatch) == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == size


def test_names_say_which_size_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = picture(tmp_path / "a.png", size=(50, 40))
    for options in (
        ["--fill", "40x12"],
        ["--stretch", "hd"],
        ["--longest", "30"],
        ["--shortest", "30", "--longest", "35"],
        ["--result-megapixels", "0.002"],
    ):
        assert run("upscale", source, *options, monkeypatch=monkeypatch) == 0
    assert tree(tmp_path) == [
        "a.png",
        "a_fill_40x12.png",
        "a_longest30.png",
        "a_mp0.002.png",
        "a_shortest30_longest35.png",
        "a_stretch_HD.png",
    ]


def test_it_is_said_how_often_the_network_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = picture(tmp_path / "a.png", size=(50, 50))
    assert run("upscale", source, "-s", "2.08", "-v", monkeypatch=monkeypatch) == 0
    assert "steps 1 pass x2, then Lanczos x1.04" in " ".join(capsys.readouterr().out.split())
    assert run("upscale", source, "-s", "2.08", "--passes", "2", "--plan", monkeypatch=monkeypatch) == 0
    assert "2 passes x2, then Lanczos x0.52" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fit", "huge"], "3840x2160"),
        (["--fit", "7x\x1d0"], "height must be"),
        (["--fit", "3x3", "--width", "3"], "ask for one size, not for --fit and --width"),
        (["--width", "40", "--height", "12"], "--fit 40x12 keeps the proportions, --fill crops"),
        (["-s", "2", "--width", "3"], "ask for one size, not for --scale and --width"),
        (["--fill", "5k"], "HD, Full HD, 2K, 4K, 8K"),
        (["--fill", "4k", "--stretch", "3x3"], "ask for one size, not for --fill and --stretch"),
        (["--longest", "9", "--result-megapixels", "3"], "ask for one size, not for --longest and --result-megapixels"),
        (["--longest", "9", "--shortest", "10"], "the shortest edge, 10, can't be more than the longest, 9"),
        (["--stretch", "257x3"], "a side grows at most 64 times"),
        (["--stretch", "100x1"], "differ more than 16 times"),
        (["--fill", "8x4", "--region", "0:1,0:1"], "a region of the result or one that fills a box"),
        (["--fill", "8x4", "-o", "a.ome.zarr"], "a store holds the whole result"),
        (["--passes", "7"], "--passes must be from 0 to 6, not 7"),
        (["--intensity", "1,2,3"], "LOW,HIGH"),
        (["--intensity", "best"], "'best'"),
        (["--format", "bmp"], ".png"),
        (["--axes", "TYX"], "'TYX'"),
        (["--alpha", "none"], "'none'"),
    ],
)
def test_command_line_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    source = tmp_path / "a.png"
    Image.new("RGBA", (4, 4), (9, 9, 9, 9)).save(source)
    assert run("upscale", source, *options, monkeypatch=monkeypatch) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert tree(tmp_path) == ["a.png"]


def test_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = picture(tmp_path / "a.png", 100), picture(tmp_path / "b.png", 103, (10, 8))
    run("check", before, after, "--json", monkeypatch=monkeypatch)
    found = json.loads(capsys.readouterr().out)
    assert [entry["bias"] for entry in found] == [3, 3, 3]
    run("check", before, after, monkeypatch=monkeypatch)
    assert "+3.000" in capsys.readouterr().out  # percent of 100
    assert run("check", after, before, monkeypatch=monkeypatch) == 1


def test_a_16_bit_microscope_image_through_the_command_line(shared: Path, tmp_path: Path) -> None:
    """The real program and a bundled model: depth, levels, pixel size and summed intensity are kept."""
    with Image.open(shared / "data" / "microscopy" / "zebrafish_16bit.png") as image:
        crop = np.array(image)[400:496, 400:528].astype(np.uint16)
    source, target = tmp_path / "fish.tif", tmp_path / "fish_x2.tif"
    tifffile.imwrite(source, crop, imagej=True, resolution=(1 / 0.65, 1 / 0.65), metadata={"unit": "um", "axes": "YX"})
    program = [sys.executable, "-m", "esc_plugin.cli"]
    root = Path(__file__).parents[1]
    subprocess.run([*program, "upscale", source, "--consistency"], cwd=root, check=True, capture_output=True)
    with tifffile.TiffFile(target) as tif:
        out, page = tif.asarray(), tif.pages.first
        pixel_size = page.tags.valueof(282)[1] / page.tags.valueof(282)[0]
        assert (tif.imagej_metadata or {})["unit"] == "um"
    assert out.dtype == np.uint16
    assert out.shape == (192, 256)
    assert len(np.unique(out)) > 256
    assert pixel_size == pytest.approx(0.325)
    assert out.sum() / 4 == pytest.approx(crop.sum(), rel=1e-3)
    checked = subprocess.run(
        [*program, "check", source, target], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    assert re.search(r"[+-]0\.000", checked)
