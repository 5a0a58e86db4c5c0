"""What a weights file says about itself for people, read without its parameters. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Names of the safetensors metadata that we write and read: the configuration, and what was measured (a list).
CONFIG_KEY, GAINS_KEY = "esc_config", "gains"
#: What a safetensors file may say about itself for people.
DESCRIBED = (
    "family",
    "purpose",
    "license",
    "license_note",
    "detail",
    "training",
    GAINS_KEY,
    "base_model",
    "source",
    "source_sha256",
    "converter",
)
#: Characters of one such text, beyond which it is left out.
LONGEST = 2000
#: The largest known network has a header of 0.1 MiB; far more is there to exhaust the reader.
MAX_HEADER_BYTES = 2 * 2**20


def to_metadata(card: Mapping[str, Any]) -> dict[str, str]:
    """Return what is to be stored of a card."""
    told = {key: card[key] for key in DESCRIBED if card.get(key)}
    stored = {GAINS_KEY: json.dumps(told.pop(GAINS_KEY))} if isinstance(told.get(GAINS_KEY), list) else {}
    return {key: value for key, value in told.items() if isinstance(value, str)} | stored


def from_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card that is stored in a file, without what can't be shown."""
    card: dict[str, Any] = {
        key: value
        for key, value in metadata.items()
        if key in DESCRIBED and isinstance(value, str) and len(value) < LONGEST and value.isprintable()
    }
    gains = _parsed(card.pop(GAINS_KEY, ""))
    return card | ({GAINS_KEY: gains} if isinstance(gains, list) else {})


def stated_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that a file states about itself; a hint, never trusted against the shapes."""
    config = _parsed(metadata.get(CONFIG_KEY, ""))
    return config if isinstance(config, dict) else {}


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what a safetensors file says about itself; empty if it is none, or says nothing."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = _parsed(file.read(length)) if length <= MAX_HEADER_BYTES else None
    except OSError:
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _parsed(text: Any) -> Any:
    """Return what JSON says; None if it is none."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
