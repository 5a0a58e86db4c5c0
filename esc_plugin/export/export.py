"""From a model to a file for another runtime: converted, checked there, and only then kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk import folder_beside, take_place
from ..engine.floor import check_floor
from ..errors import EscError, needs
from ..weights.model import Model
from .check import Difference, check
from .formats import FORMATS, FORMS, Format, format_of
from .order import Order

#: What every folder has that is a "file" of Core ML.
PACKAGE_MARK = "Manifest.json"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    path : Path
        Of the file.
    companions : tuple of Path
        Of files that belong to it.
    order : Order
        What was asked for.
    differences : tuple of Difference
        To torch. Empty if nothing was checked.
    """

    path: Path
    companions: tuple[Path, ...]
    order: Order
    differences: tuple[Difference, ...]

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        parts = (self.path, *self.companions)
        files = (file for part in parts for file in ([part] if part.is_file() else part.rglob("*")))
        return sum(file.stat().st_size for file in files if file.is_file())


def export(
    model: Model,
    path: str | Path,
    *,
    form: str = "whole",
    size: tuple[int, int] | None = None,
    precision: str = "float32",
    opset: int = 18,
    pictures: Sequence[Path] = (),
    scale: int | None = None,
    check_it: bool = True,
) -> Exported:
    """Write a model as a file for another runtime, which its suffix names, see `esc_plugin.export.formats.FORMATS`.

    Its input ``"image"`` is (1, 3, H, W), RGB in 0..1, float32; its output ``"upscaled"`` is (1, 3, scale H, scale W), not
    clipped. The form "regions" has more of both, see `esc_plugin.export.portable.Regions`.

    Parameters
    ----------
    path : Path
        A file that is there is replaced, once the new one is whole and checked.
    form : str
        ``"whole"`` for images that fit into memory at once; ``"regions"`` for crops of larger ones.
    size : tuple of int, optional
        Height and width of the only image that the file takes, for runtimes that need that.
    precision : str
        ``"float32"``, or what else the format can be written in.
    opset : int
        Version of ONNX's operator set, 18 to 23.
    pictures : sequence of Path
        What int8 is calibrated with.
    scale : int, optional
        Of a network that renders any scale (LTE), the whole number that the file shall have; by default the largest trained.
    check_it : bool
        Run the file in its own runtime and compare with torch.

    Raises
    ------
    EscError
        If a package is missing, the model or an argument doesn't allow it, or the check fails; then nothing is written.
    """
    path, kind = Path(path), format_of(path)
    order = Order(model, form, size, precision, opset, tuple(pictures), scale)
    refuse(order, kind, path)
    needs(kind.extra)
    check_floor(f"exporting {model.name!r}", order.working_bytes(check_it and kind.runs))
    with folder_beside(path) as folder:
        # Converters know their suffix in small letters only.
        made, found = folder / f"{path.stem}{kind.suffix}", tuple[Difference, ...]()
        kind.converter.convert(order, made)
        if check_it and kind.runs:
            found = check(order, kind, made)
        kind.converter.describe(made, order.facts() | _told(found))
        companions = tuple(path.with_suffix(suffix) for suffix in kind.companions)
        for target in companions:
            take_place(made.with_suffix(target.suffix), target)
        take_place(made, path)  # the file that is opened comes last
    return Exported(path, companions, order, found)


def refuse(order: Order, kind: Format, path: Path) -> None:
    """Raise an `EscError` if that can't be."""
    model, size = order.model, order.size
    if order.any_scale is not None and not model.any_scale:
        raise EscError(f"{model.name!r} has the scale {model.scale}; only one that renders any scale can be given another.")
    if order.scale < 1:
        raise EscError(f"a scale must be a whole number from 1 on, not {order.any_scale!r}.")
    if order.form not in FORMS:
        raise EscError(f"a form must be {' or '.join(FORMS)}, not {order.form!r}.")
    if order.precision not in kind.precisions:
        raise EscError(f"{kind.name} can be written in {', '.join(kind.precisions)}, not in {order.precision!r}.")
    if order.precision == "int8" and not order.pictures:
        raise EscError("int8 needs pictures to calibrate with: a folder of a few dozen of the kind that will be upscaled.")
    if order.precision != "int8" and order.pictures:
        raise EscError(f"pictures to calibrate with are for int8; {order.precision} needs none.")
    if size is not None and min(size) < 1:
        raise EscError(f"a size must be height and width from 1 on, not {size!r}.")
    if size is None and not kind.open_sizes:
        raise EscError(f"{kind.name} needs the one size of the images that the file will take; state it.")
    if not path.parent.is_dir():
        raise EscError(f"there is no folder {str(path.parent)!r}.")
    _refuse_to_lose(path, kind)


def _refuse_to_lose(path: Path, kind: Format) -> None:
    """Raise an `EscError` if a folder of something else, or a part of another file, would be replaced."""
    for target in (path, *map(path.with_suffix, kind.companions)):
        if target.is_dir() and not (kind.folder and (target / PACKAGE_MARK).is_file()):
            raise EscError(f"can't write {str(target)!r}: it is a folder of something else; choose another name.")
    for other in FORMATS:
        owner = path.with_suffix(other.suffix)
        if other is not kind and owner.exists() and (shared := set(other.companions) & set(kind.companions)):
            lost = path.with_suffix(min(shared))
            raise EscError(f"can't write {str(lost)!r}, which belongs to {str(owner)!r}; choose another name.")


def _told(found: tuple[Difference, ...]) -> dict[str, str]:
    if not found:
        return {"checked": "no"}
    return {
        "checked": "in its own runtime against torch",
        "largest_difference": f"{max(each.largest for each in found):.2e}",
        "psnr_to_torch": f"{min(each.psnr for each in found):.1f} dB",
    }
