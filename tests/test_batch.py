"""Many files, and the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from esc_plugin import Cancelled, ImageError, cli
from esc_plugin.files.batch import Batch
from esc_plugin.files.jobs import Job, Wish, find_images, plan_jobs

from .small import nearest_upscaler

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
    assert [p.name for p, _ in find_images([tmp_path])] == ["a.JPG", "b.png"]
    found = find_images([tmp_path], recursive=True)
    assert [(p.name, str(inside)) for p, inside in found] == [("a.JPG", "."), ("b.png", "."), ("c.tif", "sub")]
    assert [p.name for p, _ in find_images([f"{tmp_path}/*.png"])] == ["b.png"]
    assert len(find_images([tmp_path, tmp_path / "b.png"])) == 2
    odd = picture(tmp_path / "x[1].png")
    assert find_images([odd]) == [(odd, Path())]
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
    (job,) = plan_jobs([(Path("in/a.jpg"), Path())], Path(output) if output else None, "nano", label, suffix)
    assert job.target == Path(target)


def test_subfolders_and_formats_that_are_only_read() -> None:
    (job,) = plan_jobs([(Path("in/sub/a.gif"), Path("sub"))], Path("out"), "nano", "2")
    assert job.target == Path("out/sub/a_x2.png")
    (job,) = plan_jobs([(Path("a.ome.tif"), Path())], None, "nano", "2")
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
    images = [(Path("a.png"), Path()), (Path("b.png"), Path())]
    with pytest.raises(ImageError, match=message):
        plan_jobs(images, Path(output), "nano", "2")


@pytest.mark.parametrize(
    ("wish", "size"),
    [
        (Wish(), (20, 40)),
        (Wish(scale=2.7), (27, 54)),
        (Wish(width=30), (15, 30)),
        (Wish(height=15), (15, 30)),
        (Wish(width=3840, height=2160), (1920, 3840)),
    ],
)
def test_wishes(wish: Wish, size: tuple[int, int]) -> None:
    assert wish.size(10, 20, 2) == size


@pytest.mark.parametrize("wish", [{"scale": 2, "width": 5}, {"scale": 0}, {"width": 0}, {"scale": 65}])
def test_wishes_that_can_not_be(wish: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        Wish(**wish)


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"{name}.png", tmp_path / "out" / f"{name}.png") for name in ("a", "bad", "missing", "c")]
    picture(jobs[0].source), picture(jobs[3].source)
    jobs[1].source.write_bytes(b"no image")
    seen: list[float] = []
    summary = Batch(NEAREST).run(jobs, progress=lambda i, share: seen.append(i + share))
    assert summary.done == [jobs[0], jobs[3]]
    assert [job for job, _ in summary.failed] == jobs[1:3]
    assert seen == sorted(seen)
    assert seen[-1] == 4
    assert tree(tmp_path / "out") == ["a.png", "c.png"]


def test_what_exists_is_kept_skipped_or_replaced(tmp_path: Path) -> None:
    job = Job(picture(tmp_path / "a.png"), tmp_path / "out.png")
    job.target.write_bytes(b"precious")
    assert "exists" in Batch(NEAREST).run([job]).failed[0][1]
    assert Batch(NEAREST, skip_existing=True).run([job]).skipped == [job]
    assert job.target.read_bytes() == b"precious"
    assert Batch(NEAREST, overwrite=True).run([job]).done == [job]
    with Image.open(job.target) as image:
        assert image.size == (10, 8)


def test_the_image_itself_is_replaced_only_if_asked(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    before = source.read_bytes()
    same = Job(source, tmp_path / "sub" / ".." / "a.png")
    (tmp_path / "sub").mkdir()
    assert "itself" in Batch(NEAREST).run([same]).failed[0][1]
    assert source.read_bytes() == before
    Batch(NEAREST, overwrite=True).run([same])
    with Image.open(source) as image:
        assert image.size == (10, 8)


def test_a_memory_mapped_image_can_be_replaced_by_its_own_result(tmp_path: Path) -> None:
    image = np.arange(20, dtype=np.uint16).reshape(4, 5)
    tifffile.imwrite(tmp_path / "a.tif", image)
    Batch(NEAREST, overwrite=True).upscale_file(Job(tmp_path / "a.tif", tmp_path / "a.tif"))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), image.repeat(2, 0).repeat(2, 1))


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    job = Job(picture(tmp_path / "a.png"), tmp_path / "file" / "a.png")
    assert "can't make the folder" in Batch(NEAREST).run([job]).failed[0][1]


def test_a_lack_of_memory_is_the_files_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("esc_plugin.stack.Stack.run", fail)
    summary = Batch(NEAREST).run([Job(picture(tmp_path / "a.png"), tmp_path / "out.png")])
    assert "no memory" in summary.failed[0][1]


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


@pytest.mark.parametrize("place", ["esc_plugin.engine.run.Run.execute", "esc_plugin.files.write_photo"])
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupt)
    source = picture(tmp_path / "a.png")
    assert run("upscale", source, monkeypatch=monkeypatch) == 130
    assert tree(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    ("options", "size"),
    [(["-s", "2.7"], (14, 11)), (["--width", "30"], (30, 24)), (["--fit", "40x12"], (15, 12)), ([], (10, 8))],
)
def test_command_line_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], size: Any) -> None:
    source = picture(tmp_path / "a.png")
    assert run("upscale", source, "-o", tmp_path / "out.png", *options, monkeypatch=monkeypatch) == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fit", "huge"], "3840x2160"),
        (["--fit", "3x3", "--width", "3"], "not both"),
        (["-s", "2", "--width", "3"], "not both"),
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
