"""Small files that lie beside models: the record of downloads, ``config.json``, what a file says of itself."""

from __future__ import annotations

from pathlib import Path
from random import Random

from esc_plugin.catalog.load import load_model
from esc_plugin.catalog.model_files import read_config
from esc_plugin.catalog.record import RECORD, read_record

from ..case import Case, check
from ..mutate import json_bytes, nudged, twisted
from ..weights import CONFIGS, equal, files, states

RIB = next(i for i, config in enumerate(CONFIGS) if config.position == "rib")
RECORDED = {"a.safetensors": {"sha256": "0" * 64, "url": "https://example.invalid/a", "source_sha256": "1" * 64}}
CONFIG = CONFIGS[RIB].to_dict() | {"window_size": 4}


def case(rng: Random) -> Case:
    """Return a folder of a model with something changed beside it."""
    number = rng.choice((0, RIB))
    found = {
        "model/a.safetensors": files()[number],
        "model/config.json": json_bytes(rng, rng.choice((twisted, nudged))(rng, CONFIG)),
    }
    if rng.random() < 0.4:
        found[f"model/{RECORD}"] = json_bytes(rng, twisted(rng, RECORDED))
    return Case("notes", found, lambda folder: attempted(folder / "model", number))


def attempted(folder: Path, number: int) -> list[str]:
    """Open a folder; whatever is written beside the weights, they are what they are."""
    read_config(folder / "config.json")
    read_record(folder)
    model = load_model(folder)
    check(equal(model, states()[number]), "the network has other values than the file")
    check(1 <= model.config.window_size <= 128, f"its windows are {model.config.window_size!r:.40}")
    return []
