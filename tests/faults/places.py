"""Where a job reads and writes: in the folder that it runs in, and in those that variables name."""

from __future__ import annotations

from pathlib import Path

from .stage import Stage

#: The variables.
ELSEWHERE = ("TMPDIR", "ESC_MODELS_DIR", "HF_HOME", "XDG_CACHE_HOME", "HOME")


def any_place(stage: Stage) -> tuple[str, Path]:
    """Choose a folder, most often that in which the job runs, and return what it is called and where it is."""
    named = stage.rng.choice(("the folder", "the folder", "the folder", *ELSEWHERE))
    place = stage.folder / stage.environment.get(named, "")
    place.mkdir(parents=True, exist_ok=True)
    return named, place
