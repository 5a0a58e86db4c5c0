"""A model in three lines for people: what it is for, whose it is, what it gains. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..texts import printable
from .gains import Gain, stated_gains
from .manifest import CatalogEntry
from .purposes import akin, find_purpose

#: Characters of a line, so that a narrow panel shows it in three rows at most.
LONGEST = 125
#: Where an entry's file comes from, by `CatalogEntry.source`.
ORIGINS: dict[str, Callable[[CatalogEntry], str]] = {
    "bundled": lambda entry: "comes with this package",
    "hub": lambda entry: f"{entry.hub} on the Hugging Face Hub",
    "url": lambda entry: f"from {urlsplit(entry.url).hostname}",
    "path": lambda entry: "a file of yours",
}


def card_lines(about: CatalogEntry | Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what a user should know of a model before choosing it, without how it was trained.

    Parameters
    ----------
    about : CatalogEntry or mapping
        A model on offer, or the card of one that is loaded (`Model.card`).

    Returns
    -------
    tuple of str
        What it is for and what it does to detail; the licence and where the file comes from; the gain over bicubic
        interpolation in dB and what it was measured on. Plain text of at most `LONGEST` characters each.
    """
    entry = about if isinstance(about, CatalogEntry) else None
    card: Mapping[str, Any] = about.card if isinstance(about, CatalogEntry) else about
    lines = _use(card, entry.summary if entry else ""), _licence(card, ORIGINS[entry.source](entry) if entry else "")
    return _fitting(lines[0]), _fitting(lines[1]), _fitting(_gain(card))


def menu_label(entry: CatalogEntry, here: bool) -> str:
    """Return a model on offer in a line of a menu: its name, its scale, what it is for, and what it takes to have it."""
    if entry.path or here:
        place = "your file" if entry.path else "here"
    else:
        place = f"download {entry.megabytes} MB" if entry.megabytes else "download"
        place += "" if entry.confirmed else ", unconfirmed"
    purpose = find_purpose(entry.purpose).images if entry.purpose else ""
    told = filter(None, [f"{entry.scale}x" if entry.scale else "", purpose, place])
    return printable(f"{entry.name} ({'; '.join(told)})")


def _use(card: Mapping[str, Any], summary: str) -> str:
    told = str(card.get("detail") or summary).rstrip(".")
    if not card.get("purpose"):
        return f"{told or 'A model'}; nothing says what it is for."
    images = find_purpose(str(card["purpose"])).images
    return f"For {images}: {told}." if told else f"For {images}."


def _licence(card: Mapping[str, Any], origin: str) -> str:
    stated = [card.get("license") or "Licence not stated", origin]
    return f"{'; '.join(filter(None, map(str, stated)))}. {card.get('license_note', '')}".strip()


def _gain(card: Mapping[str, Any]) -> str:
    figures = card.get("figures") or {}
    pairs = [(name, psnr, figures.get(f"{name} bicubic")) for name, psnr in figures.items()]
    found = [f"{psnr - bicubic:+.2f} dB on {name}" for name, psnr, bicubic in pairs if bicubic is not None]
    if found := [*found, *_spans(_of_its_kind(card))]:
        # As many as fit: a figure that is cut off says nothing.
        lines = [f"Measured against bicubic: {', '.join(found[:count])}." for count in range(len(found), 0, -1)]
        return next((line for line in lines if len(line) <= LONGEST), lines[-1])
    stated = next((f"; stated: {psnr:.2f} dB on {name}" for name, psnr in figures.items()), "")
    return f"Gain over bicubic not measured here{stated}."


def _spans(gains: Iterable[Gain]) -> Iterator[str]:
    """Say the best and the worst of the gains on the same images: the best alone would promise too much."""
    by_images: dict[str, list[Gain]] = {}
    for gain in gains:
        by_images.setdefault(gain.on, []).append(gain)
    for on, found in by_images.items():
        best, worst = max(found, key=lambda gain: gain.db), min(found, key=lambda gain: gain.db)
        yield (
            str(best)
            if best == worst
            else f"{best.db:+.2f} ({best.reduction}) to {worst.db:+.2f} dB ({worst.reduction}) on {on}"
        )


def _of_its_kind(card: Mapping[str, Any]) -> Iterator[Gain]:
    """Give the gains on images that a model is made for; what it does to others is `none_text`'s matter."""
    made_for = str(card.get("purpose", ""))
    return (gain for gain in stated_gains(card) if not made_for or akin(gain.purpose, made_for))


def _fitting(text: str) -> str:
    shown = printable(" ".join(text.split()))
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1].rstrip() + "…"
