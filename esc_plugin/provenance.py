"""How a result was made, as a small record that every written file carries, and in words for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .version import __version__

#: By this name records are known, of whatever version.
SOFTWARE = "esc-plugin"
#: What people are told, in this order.
LABELS = (
    *("Made by", "Image", "Model", "Model SHA-256", "Model scale", "Model choice", "Size", "Steps", "Levels"),
    *("Survey", "Precision", "PyTorch"),
)
#: With this begins what a file says of itself for people.
SYNTHETIC = "Synthetic detail"


def record_of_command(command: str, **facts: Any) -> dict[str, Any]:
    """Return a record that says which command of this version made a file, and what else is known."""
    return {"software": f"{SOFTWARE} {__version__}", "command": command} | facts


def is_record(value: Any) -> bool:
    """Whether a value is a record of this program, of whatever version."""
    return isinstance(value, dict) and str(value.get("software", "")).partition(" ")[0] == SOFTWARE


def joined(records: Sequence[dict[str, Any] | None], names: Sequence[str]) -> dict[str, Any] | None:
    """Return one record for an image of several channels.

    Parameters
    ----------
    records : sequence of dict
        By channel; ``None`` for one that wasn't made by this program.
    names : sequence of str
        Of the channels.

    Returns
    -------
    dict, optional
        The record of all, if they are the same. Else what they share, and under ``"channels"`` what each has of its own;
        the ``"command"`` of one that wasn't made by this program is ``None``.
    """
    known = [record for record in records if record]
    if not known or all(record == records[0] for record in records):
        return records[0] if records else None
    shared = {key: value for key, value in known[0].items() if all(key in it and it[key] == value for it in known)}
    own = [
        {"channel": name}
        | ({key: value for key, value in record.items() if key not in shared} if record else {"command": None})
        for name, record in zip(names, records, strict=True)
    ]
    return {"software": f"{SOFTWARE} {__version__}"} | shared | {"channels": own}


def facts_of(record: dict[str, Any]) -> dict[str, str]:
    """Return a record as a table for people; what not all channels of this program share has its channel behind it."""
    parts = _parts(record)
    tables = {name: _facts(part) for name, part in parts.items()}
    made = [table for name, table in tables.items() if parts[name].get("command")]
    shared = dict(set.intersection(*(set(table.items()) for table in made))) if made else {}
    shared = {key: shared[key] for key in LABELS if key in shared}
    own = {
        f"{key} ({name})" if name else key: value
        for name, table in tables.items()
        for key, value in table.items()
        if shared.get(key) != value
    }
    return shared | own


def words_of(record: dict[str, Any]) -> str:
    """Return a record as text for people, a line for each fact; first, where there is detail that was never measured."""
    parts = _parts(record)
    made = [name for name, part in parts.items() if _is_synthetic(part)]
    where = f" in {', '.join(made)}" if len(made) < len(parts) else ""
    warning = [f"{SYNTHETIC}{where}: made by a network; measure on the original."] if made else []
    return "\n".join(warning + [f"{key}: {value}" for key, value in facts_of(record).items()])


def _parts(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the record of each channel by its name; of an image that has one record, that."""
    own = record.get("channels")
    if not isinstance(own, list) or not own or not all(isinstance(entry, dict) for entry in own):
        return {"": record}
    shared = {key: value for key, value in record.items() if key != "channels"}
    return {str(entry.get("channel", i + 1)): shared | entry for i, entry in enumerate(own)}


def _is_synthetic(record: dict[str, Any]) -> bool:
    return record.get("command") == "upscale"


def _facts(record: dict[str, Any]) -> dict[str, str]:
    if record.get("command") is None:
        return {LABELS[0]: "another program"}
    size = record.get("size")
    found = (
        f"{record.get('software')}, {record['command']}",
        record.get("image") or record.get("source_layer"),
        record.get("model"),
        record.get("sha256"),
        record.get("model_scale"),
        record.get("model_choice"),
        " x ".join(map(str, size)) + " pixels (rows x columns)" if isinstance(size, list) else None,
        record.get("steps"),
        _levels(record.get("levels")),
        _survey(record) if _is_synthetic(record) else None,
        record.get("precision"),
        record.get("torch"),
    )
    return {label: str(value) for label, value in zip(LABELS, found, strict=True) if value is not None}


def _levels(levels: Any) -> str | None:
    """Return what the network saw as black and white, by channel."""
    try:
        return "; ".join(f"{low:.7g} to {high:.7g}" for low, high in levels)
    except (TypeError, ValueError):  # of another version, or written by somebody else
        return None


def _survey(record: dict[str, Any]) -> str:
    """Return how the means over the image were found; where nothing is said, all of it was looked at."""
    about = record.get("survey")
    about = about if isinstance(about, dict) else {}
    sampling = about.get("sampling")
    samples = (sampling if isinstance(sampling, dict) else about).get("samples")
    method = record.get("survey_method") or about.get("method") or "exact"
    return f"{method}, {samples} samples" if samples else str(method)
