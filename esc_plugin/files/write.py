"""Writing an image file of any format: what is lost by it is said, and before the work where it matters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..disk import replacing
from ..errors import EscError, ImageError
from .encoding import encode, fitted, pieces, refusal, without
from .format import Format, carried
from .formats import suffixes_where, writable_suffixes, written_as
from .picture import Picture


def check_target(path: Path, picture: Picture, shape: tuple[int, ...]) -> None:
    """Raise an `ImageError` unless `path` can take the picture with pixels of `shape`, before they are made.

    Nothing that the picture has may be lost without a word: depth, transparency, planes. What is only decoration is no
    reason to refuse it, see `write_picture`.
    """
    form, dtype = _format_of(path), np.dtype(picture.pixels.dtype)
    try:
        _check_holds(form, picture.axes, shape, dtype)
        if form.check:
            form.check(picture, shape, dtype)
        if refusal(picture, form) and (reason := refusal(without(picture, pieces(picture)), form)):
            raise ImageError(f"{form.name} can't hold it ({reason}).")  # noqa: TRY301
    except ImageError as error:
        raise ImageError(f"can't write {path.name!r}: {error}") from None


def _format_of(path: Path) -> Format:
    if (form := written_as(path)) and form.store:
        raise ImageError(f"{path.name!r} would be a store, which is filled block by block; see esc_plugin.cluster.")
    if form is None:
        raise ImageError(f"can't write {path.name!r}: its suffix must be one of {', '.join(writable_suffixes())}.")
    return form


def _check_holds(form: Format, axes: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise an `ImageError` for what the table says that a format can't hold, and name the formats that can."""
    sizes = dict(zip(axes, shape, strict=True))
    if not form.holds_type(dtype):
        raise ImageError(f"{form.name} can't hold {dtype} values; write {_or(lambda f: f.holds_type(dtype))}.")
    if not form.holds_axes(axes):
        raise ImageError(f"{form.name} can't hold the axes {axes!r}; write {_or(lambda f: f.holds_axes(axes))}.")
    if not form.alpha and sizes.get("S") in (2, 4):
        raise ImageError(f"{form.name} can't hold transparency; write {_or(lambda f: f.alpha)}.")
    if form.largest_side and max(sizes["Y"], sizes["X"]) > form.largest_side:
        raise ImageError(f"{form.name} can't hold {sizes['X']} x {sizes['Y']} pixels, only {form.largest_side} a side.")


def _or(test: Callable[[Format], bool]) -> str:
    return " or ".join(suffixes_where(test))


def write_picture(path: str | Path, picture: Picture, quality: int | None = None) -> None:
    """Write a picture; the format follows the suffix. The file appears only once it is whole.

    What its format refuses beside the pixels is left out and named in the notes.

    Parameters
    ----------
    quality : int, optional
        1 to 100, of lossy formats. By default 95; WebP is lossless where its source was.

    Raises
    ------
    ImageError
        If it can't be written.
    """
    path = Path(path)
    check_target(path, picture, picture.pixels.shape)
    form = _format_of(path)
    try:
        with replacing(path) as beside, beside.open("wb+") as file:
            encode(file, fitted(picture, form), form, quality)
        picture.notes.extend(left_out(picture, form))
    except ImageError as error:
        raise ImageError(f"can't write {str(path)!r}: {error}") from None
    except EscError as error:
        raise ImageError(str(error)) from None
    except Exception as error:  # encoders raise almost anything too
        raise ImageError(f"can't write {str(path)!r}: {' '.join(str(error).split())}.") from None


def left_out(picture: Picture, form: Format) -> list[str]:
    """Say what of a picture another format than its own has no place for."""
    lost = [name for name in carried(picture) if name not in form.keeps]
    return [f"{form.name} has no place for its {', '.join(lost)}"] if lost else []
