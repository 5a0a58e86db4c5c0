"""What a fine-tuned model says about itself: what it was made from, whose it is, and what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..catalog.gains import Gain
from ..measure.scores import mean
from ..texts import sentence
from ..weights.model import Model
from .held_out import HeldOutScore
from .wish import KINDS, Wish

#: Images that a card names.
NAMED = 3


def listed(names: Iterable[str]) -> str:
    """Return the first few of the names that the user gave."""
    found = list(dict.fromkeys(names))
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    return f"{', '.join(name[:60] for name in found[:NAMED])}{more}"


def _gain(purpose: str, scores: list[HeldOutScore], reduction: str) -> Gain:
    found, images = mean(scores), "held-out image" + ("" if len(scores) == 1 else "s")
    return Gain(purpose, len(scores), images, reduction, round(found.after - found.bicubic, 2))


def make_card(model: Model, wish: Wish, scores: list[HeldOutScore], work: str, notes: Iterable[str]) -> dict[str, Any]:
    """Return the card of a model made from another by some work, told in words, with notes on it; see `Model.card`."""
    found, kind = mean(scores), KINDS[wish.kind]
    purpose = wish.purpose or kind.purpose
    figures = f"mean PSNR {found.after:.2f} dB; before {found.before:.2f}, bicubic {found.bicubic:.2f}"
    figures += "" if found.after > found.bicubic else ": bicubic interpolation is better"
    gain = _gain(purpose, scores, kind.reduction)
    return {
        "family": model.card.get("family", ""),
        "purpose": purpose,
        "detail": kind.detail,
        "license": model.card.get("license") or "unknown",
        "license_note": "As the model it was trained from; the images may ask for more.",
        "training": f"Fine-tuned from {model.name}: {work} (pairs: {kind.pairs}). "
        f"On crops held out of {listed(score.image for score in scores)}, {figures}."
        + "".join(f" {sentence(note)}" for note in notes),
        "gains": [asdict(gain)],
    }
