"""Whether the models on this machine are what they should be. Imports no torch."""

from __future__ import annotations

from ..disk import file_sha256
from .downloads import find_local
from .hub import cached
from .manifest import CatalogEntry
from .menu import list_models


def verify() -> list[dict[str, str]]:
    """Compare each model file on this machine with its sha256.

    Returns
    -------
    list of dict
        For each model on offer: ``name``, ``status`` ("ok", "mismatch", "absent", or "unknown" where nobody knows the
        hash), ``path``, ``sha256`` as found, ``expected`` and ``remedy``, which says what to do after a mismatch.
    """
    return [_row(entry) for entry in list_models()]


def _row(entry: CatalogEntry) -> dict[str, str]:
    row = {"name": entry.name, "status": "absent", "path": "", "sha256": "", "expected": entry.sha256, "remedy": ""}
    local = find_local(entry) or (cached(entry) if entry.hub else None)
    if not local or not local.path.is_file():
        return row
    found = file_sha256(local.path)
    row |= {"path": str(local.path), "sha256": found, "expected": local.sha256}
    if not local.sha256:
        return row | {"status": "unknown"}
    return row | ({"status": "ok"} if found == local.sha256 else {"status": "mismatch", "remedy": local.remedy})
