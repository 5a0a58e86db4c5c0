"""Every bundled model on every kind of images: the gains in ``manifest.yaml``, and the tables in ``docs/models.md``.

``python benchmarks/kinds.py --photos photos Set14/ --fluorescence "images of nuclei" nuclei/ ...``: after what the images
are, as it stands behind their number, come folders and files. Gains of kinds that aren't measured stay as they are; without
any, only the tables are made anew from the manifest.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from esc_plugin import EscError, Upscaler
from esc_plugin.batch.find import find_originals
from esc_plugin.catalog.gains import Gain
from esc_plugin.catalog.manifest import CatalogEntry, read_manifest
from esc_plugin.catalog.purposes import KEYS
from esc_plugin.disk import write_text
from esc_plugin.measure.degradation import Degradation
from esc_plugin.measure.evaluate import evaluate
from esc_plugin.measure.scores import mean

ROOT = Path(__file__).parents[1]
MANIFEST, PAGE = ROOT / "manifest.yaml", ROOT / "docs" / "models.md"
END = "<!-- Until here -->"
#: How small images are made of those of a purpose: what people read, where {0} is the scale, and `Degradation`.
MICROSCOPE = {
    "binned {0} x {0}, 100 photons": "bin,photons=100",
    "binned {0} x {0}, 1000 photons": "bin,photons=1000",
    "binned {0} x {0}, 10,000 photons": "bin,photons=10000",
    "binned {0} x {0}": "bin",
}
KINDS: dict[str, dict[str, str]] = {
    "clean photo": {"bicubic": "bicubic"},
    "real photo": {f"noise of {n} levels": f"noise={n}" for n in (5, 15)} | {f"JPEG {n}": f"jpeg={n}" for n in (70, 40)},
    "fluorescence": MICROSCOPE,
    "brightfield": MICROSCOPE,
}
#: What the options give images of.
OPTIONS = {
    "photos": ("clean photo", "real photo"),
    "fluorescence": ("fluorescence",),
    "brightfield": ("brightfield",),
}


def measured(model: str, purpose: str, images: str, paths: Sequence[Path]) -> Iterable[Gain]:
    """Measure a model on images of a purpose in every way, and print a row for each."""
    upscaler = Upscaler(model, precision="float32")
    for told, steps in KINDS[purpose].items():
        scores = evaluate(upscaler, paths, degradation=Degradation.parse(steps))
        found, reduction = mean(scores), told.format(upscaler.model.scale)
        bias = max((score.bias for score in scores), key=abs)
        figures = f"{found.psnr_y:.2f} | {found.bicubic_psnr_y:.2f} | {found.gain:+.2f} | {100 * bias:+.3f}"
        print(f"| {model} | {len(scores)} {images} | {reduction} | {figures} |", flush=True)
        yield Gain(purpose, len(scores), images, reduction, round(found.gain, 2))


def with_gains(text: str, gains: Mapping[str, Sequence[Gain]]) -> str:
    """Return a manifest in which models have other gains, by name, and nothing else is changed."""
    lines = text.splitlines()
    for name, stated in gains.items():
        place = lines.index(f"    name: {name}")
        start = max(i for i in range(place + 1) if lines[i].startswith("  - "))
        end = next((i for i in range(place, len(lines)) if not lines[i].startswith("    ")), len(lines))
        entry = "\n".join(lines[start:end])
        entry = re.sub(r"\n    gains:(\n      .*)*", "", entry)
        lines[start:end] = [*entry.split("\n"), *(["    gains:", *map(_line, stated)] if stated else [])]
    return "\n".join(lines) + "\n"


def _line(gain: Gain) -> str:
    texts = {name: str(value) for name, value in vars(gain).items()}
    fields = {name: json.dumps(text) if re.search(r"[^\w .-]", text) else text for name, text in texts.items()}
    return "      - {" + ", ".join(f"{name}: {text}" for name, text in fields.items()) + "}"


def checked(text: str, expected: Sequence[CatalogEntry]) -> str:
    """Return a manifest if it says what it should.

    Raises
    ------
    EscError
        If it doesn't.
    """
    with tempfile.TemporaryDirectory() as work:
        path = Path(work, MANIFEST.name)
        path.write_text(text, encoding="utf-8")
        if models_in(path) != list(expected):
            raise EscError(f"{MANIFEST} is written in a way that can't be edited here; nothing was changed.")
    return text


def tables(entries: Sequence[CatalogEntry]) -> str:
    """Return the gains of models as Markdown, a table for each scale; the best of a row is bold if it is a gain."""
    found = []
    for scale in sorted({entry.scale for entry in entries}):
        models = [entry for entry in entries if entry.scale == scale]
        heads = "".join(f" {entry.name} |" for entry in models)
        found += [f"| kind | images | x{scale}, reduced by |{heads}", "|---|---|---|" + "---|" * len(models)]
        found += [*_rows(models), ""]
    return "\n".join(found)


def _rows(models: Sequence[CatalogEntry]) -> Iterable[str]:
    known = [{(gain.purpose, gain.on, gain.reduction): gain.db for gain in entry.gains} for entry in models]
    for row in sorted(dict.fromkeys(key for gains in known for key in gains), key=lambda key: KEYS.index(key[0])):
        values = [gains.get(row) for gains in known]
        best = max(value for value in values if value is not None)
        cells = ["" if v is None else f"**{v:+.2f}**" if v == best > 0 else f"{v:+.2f}" for v in values]
        yield "| " + " | ".join([*row, *cells]) + " |"


def with_tables(page: str, entries: Sequence[CatalogEntry]) -> str:
    """Return a page whose tables of gains are made anew."""
    return filled(page, "kinds.py", tables(entries))


def filled(page: str, script: str, part: str) -> str:
    """Return a page whose part between the markers of a script is another one."""
    begin = f"<!-- Made by benchmarks/{script} -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(END)
    if not found:
        raise EscError(f"{PAGE} lacks the lines {begin!r} and {END!r}.")
    return f"{before}{begin}\n\n{part}\n{END}{after}"


def models_in(path: Path) -> list[CatalogEntry]:
    return read_manifest(path).models


def bundled() -> list[CatalogEntry]:
    return [entry for entry in models_in(MANIFEST) if entry.bundled]


def updated(entries: Sequence[CatalogEntry], found: Mapping[str, Sequence[Gain]]) -> list[CatalogEntry]:
    """Return entries with what was found, by name, in the place of what they said of the same kinds of images."""

    def merged(entry: CatalogEntry) -> tuple[Gain, ...]:
        new = found.get(entry.name, ())
        kept = [gain for gain in entry.gains if gain.purpose not in {other.purpose for other in new}]
        return tuple(sorted([*new, *kept], key=lambda gain: KEYS.index(gain.purpose)))

    return [replace(entry, gains=merged(entry)) for entry in entries]


def main() -> None:
    names = [entry.name for entry in bundled()]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for option in OPTIONS:
        parser.add_argument(f"--{option}", nargs="+", action="append", default=[], metavar=("IMAGES", "FOLDER"))
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    asked = parser.parse_args()
    tasks = [
        (purpose, images, find_originals(places, recursive=False))
        for option, purposes in OPTIONS.items()
        for images, *places in getattr(asked, option)
        for purpose in purposes
    ]
    with_tables(PAGE.read_text(encoding="utf-8"), [])  # whether it can be written, before hours of work
    print("| model | images | reduced by | model, dB | bicubic, dB | gain, dB | bias, % |\n" + "|---" * 7 + "|")
    found = {name: [gain for task in tasks for gain in measured(name, *task)] for name in asked.models}
    entries = updated(models_in(MANIFEST), found)
    gains = {entry.name: entry.gains for entry in entries if found.get(entry.name)}
    write_text(MANIFEST, checked(with_gains(MANIFEST.read_text(encoding="utf-8"), gains), entries))
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8"), bundled()))


if __name__ == "__main__":
    main()
