"""Make docs/gallery.md, its pictures and README's first one with the bundled models: ``python docs/images/gallery.py``.

It needs scikit-image and scipy. All pictures come inside scikit-image and are in the public domain, or are drawn here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from esc_plugin import Upscaler
from esc_plugin.arrays.synthetic import light
from esc_plugin.catalog.by_default import default_model
from esc_plugin.catalog.manifest import CatalogEntry
from esc_plugin.catalog.menu import bundled_models
from esc_plugin.catalog.purposes import akin, find_purpose
from esc_plugin.files import Picture, write_picture
from esc_plugin.measure.compare import Comparison, Detail, compare, write_comparison
from esc_plugin.measure.degradation import Degradation

HERE = Path(__file__).parent
FOLDER, PAGE = HERE / "gallery", HERE.parent / "gallery.md"
#: Of WebP: noise still looks like noise.
QUALITY = 90
#: Of a detail, in pixels, and how large each of them is shown.
WIDTH, HEIGHT, ZOOM = 110, 100, 2
#: The rows that are shown before and after too, and the size of that part in pixels.
SLIDERS, WIDER, HIGHER = ("cat", "face", "nuclei-dim", "tissue-noise"), 220, 165
#: Of the drawn cells: others than napari's sample and the tests have.
SEED = 11


class Row(NamedTuple):
    """A picture of the gallery, and where its detail begins."""

    name: str
    image: Callable[[], np.ndarray]
    says: str
    degrade: str  # as on the command line
    left: int
    top: int


def screenshot() -> np.ndarray:
    """Draw a page of text as a browser shows it."""
    page = Image.new("RGB", (480, 256), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 480, 44), "#1f5fa8")
    draw.text((20, 10), "Field notes, page 7", "white", ImageFont.load_default(22))
    lines = (
        "Monday. Fog until ten, then",
        "38 geese and 112 lapwings by",
        "the dyke. Water at 2.47 m, as",
        "high as in 1965, still rising.",
    )
    for i, line in enumerate(lines):
        draw.text((20, 52 + 34 * i), line, "#c0392b" if i == 1 else "#222222", ImageFont.load_default(24))
    draw.line((20, 200, 460, 200), "#888888", 1)
    draw.text((20, 212), "Read more: the marsh in winter", "#1f5fa8", ImageFont.load_default(20))
    return np.asarray(page)


def cells(channel: str) -> Callable[[], np.ndarray]:
    """Return what draws fluorescence in 16 bits as endless photons would show it."""
    return lambda: (100 + 4000 * light(5, 320, SEED)[channel][2].clip(0, 1)).round().astype(np.uint16)


DEMO = Row("astronaut", data.astronaut, "", "noise=10,jpeg=80", 175, 72)
ROWS = {
    "clean photo": (
        Row("cat", data.cat, "A cat's eye.", "bicubic", 128, 70),
        Row("camera", data.camera, "A man with a camera.", "bicubic", 225, 95),
        Row("emblem", data.astronaut, "A flight's emblem.", "bicubic", 120, 340),
    ),
    "real photo": (
        Row(
            "spoon", data.coffee, "As phones give it: noise of 10 levels, JPEG of quality 80.", "noise=10,jpeg=80", 310, 230
        ),
        Row("face", data.astronaut, "As the web gives it: JPEG of quality 40.", "jpeg=40", 175, 72),
        Row("screenshot", screenshot, "A screenshot that was sent on: JPEG of quality 60.", "jpeg=60", 15, 52),
    ),
    "fluorescence": (
        Row("nuclei-dim", cells("nuclei"), "Drawn nuclei, 30 photons where they are brightest.", "bin,photons=30", 150, 65),
        Row("nuclei-bright", cells("nuclei"), "The same with 1000 photons.", "bin,photons=1000", 150, 65),
        Row("filaments", cells("filaments"), "Drawn filaments, 200 photons.", "bin,photons=200", 120, 90),
    ),
    "brightfield": (
        Row("tissue", data.immunohistochemistry, "Stained tissue, binned.", "bin", 250, 60),
        Row("tissue-noise", data.immunohistochemistry, "The same with 200 photons at white.", "bin,photons=200", 250, 60),
        Row("gland", data.immunohistochemistry, "Another place, 1000 photons at white.", "bin,photons=1000", 260, 320),
    ),
}
TEXT = """\
# Gallery

<!-- Made by `python docs/images/gallery.py` with the models that are bundled: change that file, not this one. -->

Every bundled model on three pictures of the kind that it is for. Each picture was made small and worse. What remained is
the *input*; *bicubic* interpolation and the model made their best of it; the *original* is what should have come out.
Below stands the PSNR of the whole picture (on Y, as the field has it), in brackets what the model gains over bicubic.
A network makes detail plausible: where it and the original differ, the original is right. The models have not learned
from these pictures.

The same with a picture of your own:

```
esc-sr compare photo.png --degrade noise=10,jpeg=80 --detail 310,230,110,100 --zoom 2
```

The steps of `--degrade` [are those of `esc-sr evaluate`](models.md#which-model-for-my-images), and so are the figures.
Without it there is no original: the picture itself is enlarged. `-m` names another model than
[the usual one](models.md#which-model-if-none-is-named).

{models}
## The pictures

They come inside [scikit-image](https://scikit-image.org/docs/stable/api/skimage.data.html), which says of them:

| picture | by | licence |
|---|---|---|
| `cat` | Stefan van der Walt | CC0 |
| `camera` | Lav Varshney | CC0 |
| `coffee` | Rachel Michetti | CC0 |
| `astronaut` (Eileen Collins) | NASA | public domain |
| `immunohistochemistry` | Center for Microscopy And Molecular Imaging | no known copyright restrictions |

The screenshot is drawn by the script, the cells by `esc_plugin.arrays.synthetic`.
"""


def main() -> None:
    """Make everything, and remove pictures of models that are gone."""
    FOLDER.mkdir(exist_ok=True)
    before = set(FOLDER.glob("*.webp"))
    sections = [section(entry, list(pictures(entry))) for entry in bundled_models()]
    text = TEXT.format(models="\n".join(sections))
    for path in (path for path in before if path.name not in text):
        path.unlink()
    PAGE.write_text(text, encoding="utf-8", newline="\n")
    upscaler = Upscaler(default_model().entry.name, device="cpu", precision="float32")
    write_comparison(HERE / "comparison.png", drawn(DEMO, upscaler).draw(ZOOM), upscaler)


def pictures(entry: CatalogEntry) -> Iterator[tuple[Row, Path, Comparison]]:
    """Write the pictures of a model."""
    upscaler = Upscaler(entry.name, device="cpu", precision="float32")
    for row in (row for purpose, rows in ROWS.items() if akin(purpose, entry.purpose) for row in rows):
        path, found = FOLDER / f"{entry.name}-{row.name}.webp", drawn(row, upscaler)
        write_comparison(path, found.draw(ZOOM), upscaler, QUALITY)
        if row.name in SLIDERS:
            write_slider(row, upscaler)
        print(path.stem, row.degrade, f"{found.bicubic:.2f} -> {found.model:.2f} dB", flush=True)
        yield row, path, found


def write_slider(row: Row, upscaler: Upscaler) -> None:
    """Write a wider part of a row as two pictures: by bicubic interpolation, and by the model."""
    detail = Detail(row.left - (WIDER - WIDTH) // 2, row.top - (HIGHER - HEIGHT) // 2, WIDER, HIGHER)
    _, *pair, _ = drawn(row, upscaler, detail).panels
    for path, panel in zip(slider_paths(row, upscaler.model.name), pair, strict=True):
        pixels = panel.pixels.repeat(ZOOM, 0).repeat(ZOOM, 1)
        write_picture(path, Picture(pixels, "YXS"[: pixels.ndim], "PNG"), QUALITY)


def slider_paths(row: Row, model: str) -> tuple[Path, Path]:
    """Return where the pictures before and after are."""
    return FOLDER / f"{model}-{row.name}-before.webp", FOLDER / f"{model}-{row.name}-after.webp"


def drawn(row: Row, upscaler: Upscaler, detail: Detail | None = None) -> Comparison:
    """Make a comparison of a row."""
    detail = detail or Detail(row.left, row.top, WIDTH, HEIGHT)
    return compare(row.image(), upscaler, degradation=Degradation.parse(row.degrade), detail=detail)


def section(entry: CatalogEntry, found: list[tuple[Row, Path, Comparison]]) -> str:
    """Return what the page says of a model."""
    title = find_purpose(entry.purpose).images
    lines = [f"## {entry.name}\n", f"For {title}. {entry.summary}\n"]
    for row, path, result in found:
        gain = result.model - result.bicubic
        alt = f"{row.says} Input, bicubic ({result.bicubic:.2f} dB), {entry.name} ({result.model:.2f} dB) and original"
        lines.append(f"{row.says} `--degrade {row.degrade}`, {gain:+.2f} dB:\n\n![{alt}](images/gallery/{path.name})\n")
        if row.name in SLIDERS:
            lines.append(slider(row, entry.name))
    return "\n".join(lines)


def slider(row: Row, model: str) -> str:
    """Return two pictures in a paragraph, which the site shows under a slider."""
    before, after = (f"images/gallery/{path.name}" for path in slider_paths(row, model))
    return f"![Before, by bicubic interpolation]({before})\n![After, by {model}]({after})\n"


if __name__ == "__main__":
    main()
