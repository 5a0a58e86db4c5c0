"""What the video node does, given a host. It runs without ComfyUI."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from torch import Tensor

from ..esc_plugin.errors import EscError
from ..esc_plugin.progress import Progress
from ..esc_plugin.texts import counted
from ..esc_plugin.upscaler import Upscaler
from ..esc_plugin.video.film import Film, open_film
from ..esc_plugin.video.frames import in_eight_bits, like_frames_of, write_frames
from ..esc_plugin.video.joining import common_suffix
from ..esc_plugin.video.parts import discard
from ..esc_plugin.video.upscaling import FilmUpscaling, thumbnail
from ..esc_plugin.workplace import workplace
from .options import Options
from .upscale import Host, in_available_memory, worker_for

#: Which frames share their means, by the widget "steady".
SHARED = {True: "shot", False: "frame"}


@dataclass
class FilmWork:
    """A film that is upscaled by whatever upscaler fits into the memory, and its last frame, for a quick look."""

    film: Film
    target: Path
    options: Options
    shared: str
    shown: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __call__(self, upscaler: Upscaler, images: Tensor, progress: Progress | None) -> dict[str, Any]:
        """Upscale the film, and return the record of it; `images` were to plan with."""
        frame = self.options.framing.frame(*self.film.size, upscaler.model.scale)
        self.notes[:] = self.film.notes
        how: dict[str, Any] = {"watch": self.watch, "tell": self.notes.append}
        work = FilmUpscaling(upscaler, self.film, self.target, frame, self.options.core, self.shared, **how)
        return work(progress)

    def watch(self, frame: Any, result: Any) -> None:
        """Keep a frame of the result until the next one."""
        self.shown[:] = [result]

    def picture(self) -> Any:
        """Return a PIL image, or None if nothing is finished."""
        return thumbnail(self.shown[0]) if self.shown else None


def upscale_video(descriptor: Any, video: Any, options: Options, steady: bool, folder: Path, host: Host) -> Path:
    """Upscale a film frame by frame, and return the file that it is written to.

    Parameters
    ----------
    descriptor : spandrel.ImageModelDescriptor
        What came over an ``UPSCALE_MODEL`` wire.
    video : comfy_api.latest.Input.Video
        What came over a ``VIDEO`` wire.
    steady : bool
        Whether the frames of a shot share what the model knows of the whole picture.
    folder : Path
        Where temporary files go, the result among them.

    Raises
    ------
    EscError
        If the model is no ESC, the film or the options can't be used, or memory runs out.
    """
    upscaler = worker_for(descriptor, options, host)
    if not isinstance(upscaler, Upscaler):
        raise EscError("films can be upscaled by ESC models only; this is another one.")
    folder.mkdir(parents=True, exist_ok=True)
    with workplace(folder) as inputs:
        film = film_of(video, inputs)
        target = folder / f"esc-{uuid4().hex[:12]}{common_suffix(film)}"
        work = FilmWork(film, target, options, SHARED[steady])
        progress = host.progress(work.picture)
        try:
            record = in_available_memory(work, upscaler, descriptor, like_frames_of(film), options, host, progress)
        finally:
            discard(target)
    host.say("; ".join([str(record["steps"]), counted(record["frames"], "frame"), *work.notes]))
    return target


def film_of(video: Any, folder: Path) -> Film:
    """Return what comes over a ``VIDEO`` wire as a film in a file, cut as it shall be; `folder` is for copies."""
    if frames_in_memory(video):
        return _written(video.get_components(), video, folder)
    window = video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0.0, 0.0)
    return open_film(_path_of(video, folder / "film"), window=window)


def frames_in_memory(video: Any) -> bool:
    """Whether a film is a batch of images: as a file ComfyUI would have compressed it once more."""
    return type(video).__name__ == "VideoFromComponents"


def _written(components: Any, video: Any, folder: Path) -> Film:
    path = folder / "frames.mkv"
    write_frames(path, in_eight_bits(components.images), Fraction(components.frame_rate))
    film, sound = open_film(str(path)), folder / "sound.mp4"
    if not components.audio:
        return film
    video.save_to(str(sound))  # ComfyUI encodes it; its pictures aren't looked at
    return replace(film, sound=str(sound))


def _path_of(video: Any, copy: Path) -> str:
    """Return the path of a film; one in memory is written to `copy`."""
    source = video.get_stream_source()
    if not isinstance(source, BytesIO):
        return str(source)
    copy.write_bytes(source.getbuffer())
    return str(copy)
