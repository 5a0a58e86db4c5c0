"""The video node inside a ComfyUI of 2025 and one of 2026."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("av", reason="needs PyAV: pip install av")

from esc_plugin.network import ESC

from .comfy_stubs import TINY, Comfy, OutOfMemoryError
from .films import frames_in, make_film, packets_in, picture, planes_of, times_in

TIMES = [0, 40, 95, 110, 230]


@pytest.fixture
def host(running: Comfy, tmp_path: Path) -> Comfy:
    running.start()
    torch.manual_seed(0)
    save_file(ESC(TINY).state_dict(), tmp_path / "mine.safetensors")
    running.files = {"mine.safetensors": tmp_path / "mine.safetensors"}
    running.temporary = tmp_path / "temp"
    return running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pictures = [picture(i / 10) for i in range(5)]
    return make_film(tmp_path / "a.mp4", pictures, times=TIMES, codec="libx264", pixel_format="yuv420p", sound="aac")


def video(host: Comfy, source: Any, **cut: float) -> Any:
    return host.modules["comfy_api.latest"].InputImpl.VideoFromFile(source, **cut)


def upscaled(host: Comfy, model: Any, film: Any, **inputs: Any) -> Path:
    result = host.run("ESC_UpscaleVideo", upscale_model=model, video=film, **inputs)
    path = Path(result.get_stream_source())
    assert sorted(p.name for p in host.temporary.iterdir()) == [path.name]  # nothing else is left there
    return path


def luma(path: Path) -> np.ndarray:
    return np.stack([planes_of(frame)[0] for frame in frames_in(path)])


@pytest.mark.parametrize("steady", [True, False])
def test_a_film_comes_out_larger_and_otherwise_the_same(steady: bool, host: Comfy, model: Any, source: Path) -> None:
    path = upscaled(host, model, video(host, str(source)), steady=steady)
    assert path.suffix == ".mp4"
    assert times_in(path) == times_in(source)
    assert packets_in(path, "audio") == packets_in(source, "audio")
    assert luma(path).shape == (5, 64, 96)
    assert host.told[-1][0] == host.told[-1][1]
    assert "1 pass x2; 5 frames" in host.said[-1]


def test_a_film_in_memory_is_as_good_as_one_on_disk(host: Comfy, model: Any, source: Path) -> None:
    found = upscaled(host, model, video(host, BytesIO(source.read_bytes())))
    expected = luma(found)
    found.unlink()
    np.testing.assert_array_equal(luma(upscaled(host, model, video(host, str(source)))), expected)


def test_only_the_part_that_is_meant_is_made(host: Comfy, model: Any, source: Path) -> None:
    if host.generation == "2025":
        pytest.skip("videos are trimmed since 2026")
    assert times_in(upscaled(host, model, video(host, str(source), start_time=0.095, duration=0.1))) == [0, 0.015]


@pytest.mark.parametrize("audio", [None, {"sample_rate": 48000}])
def test_images_are_not_compressed_before_they_are_enlarged(audio: Any, host: Comfy, model: Any, source: Path) -> None:
    images = torch.from_numpy(np.stack([picture(i / 10) for i in range(5)])).float()

    class VideoFromComponents:
        def get_components(self) -> Any:
            return SimpleNamespace(images=images, audio=audio, frame_rate=Fraction(25))

        def save_to(self, path: str) -> None:  # which compresses them
            Path(path).write_bytes(source.read_bytes())

    path = upscaled(host, model, VideoFromComponents(), **({"size": "factor"} | factor(host, 1.0)))
    assert times_in(path) == [0, 0.04, 0.08, 0.12, 0.16]
    with_sound = [] if audio is None else packets_in(source, "audio")
    assert with_sound == (packets_in(path, "audio") if audio else [])
    assert frames_in(path)[0].colorspace == 1


def factor(host: Comfy, value: float) -> dict[str, Any]:
    return {"size.factor" if host.generation == "2026" else "factor": value}


def test_cancel_leaves_nothing(host: Comfy, model: Any, source: Path) -> None:
    host.cancel_after = 12
    with pytest.raises(host.interrupt):
        host.run("ESC_UpscaleVideo", upscale_model=model, video=video(host, str(source)))
    assert list(host.temporary.iterdir()) == []


def test_out_of_memory_goes_on_with_less(host: Comfy, model: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, failures = host.inside("esc_plugin.runner").Runner, [OutOfMemoryError("once")]
    stream = runner.stream

    def fails_once(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return stream(*arguments, **options)

    monkeypatch.setattr(runner, "stream", fails_once)
    monkeypatch.setattr(host.inside("nodes.upscale"), "wanted_bytes", lambda *_: 2**31)  # of which half is enough
    assert len(times_in(upscaled(host, model, video(host, str(source))))) == 5
    assert host.emptied == 1


def test_previews_are_shown(host: Comfy, model: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host.modules["comfy.cli_args"].args.preview_method = host.previews.Auto
    monkeypatch.setattr(host.inside("nodes.host"), "PREVIEW_EVERY", 0)
    monkeypatch.setattr(host.inside("nodes.host"), "PROGRESS_EVERY", 0)
    upscaled(host, model, video(host, str(source)))
    assert {shown[1].size for _, _, shown in host.told if shown} == {(96, 64)}


def test_a_film_that_breaks_off_is_told(host: Comfy, model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    whole = make_film(tmp_path / "a.mkv", [picture(i / 10) for i in range(8)])
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    upscaled(host, model, video(host, str(whole)))
    assert caplog.text.count("the film breaks off after") == 1


def test_what_is_no_film_says_so(host: Comfy, model: Any, tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"no film")
    error = host.inside("esc_plugin.errors").EscError
    with pytest.raises(error, match="can't read the film"):
        host.run("ESC_UpscaleVideo", upscale_model=model, video=video(host, str(tmp_path / "junk.mp4")))
    other = SimpleNamespace(
        model=torch.nn.Conv2d(3, 3, 1), scale=2, input_channels=3, output_channels=3, dtype=torch.float32
    )
    with pytest.raises(error, match="ESC models only"):
        host.run("ESC_UpscaleVideo", upscale_model=other, video=video(host, str(tmp_path / "junk.mp4")))
