"""Which networks every format of ``esc-sr export`` takes, and how far its runtime is from torch: a table for docs/export.md.

``python benchmarks/formats.py --suffixes .onnx .param -- MODEL...``: names or files. Formats whose packages are missing are
left out.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from esc_plugin import EscError, Model, load_model
from esc_plugin.errors import needs
from esc_plugin.export.export import export
from esc_plugin.export.formats import FORMATS, FORMS, SUFFIXES, Format


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--suffixes", nargs="+", default=SUFFIXES, metavar="SUFFIX", help=f"of: {' '.join(SUFFIXES)}")
    args = parser.parse_args()
    torch.set_num_threads(1)
    kinds = [kind for kind in FORMATS if kind.suffix in args.suffixes and installed(kind)]
    print("| network | " + " | ".join(kind.name for kind in kinds) + " |")
    print("|---" * (len(kinds) + 1) + "|", flush=True)
    for name in args.models:
        model = load_model(name)
        cells = [" / ".join(tried(model, kind, form) for form in FORMS) for kind in kinds]
        print(f"| {model.name} | " + " | ".join(cells) + " |", flush=True)


def installed(kind: Format) -> bool:
    try:
        needs(kind.extra)
    except EscError:
        return False
    return True


def tried(model: Model, kind: Format, form: str) -> str:
    """Export a model, and say how far it is from torch, or why it can't be."""
    window = model.config.window_size * model.config.unshuffle
    size = None if kind.open_sizes else (window + 5, 2 * window + 3)
    with tempfile.TemporaryDirectory() as folder:
        try:
            written = export(model, Path(folder, "a").with_suffix(kind.suffix), form=form, size=size)
        except EscError as error:
            return str(error)[:120]
    return f"{max(each.largest for each in written.differences):.1g}" if written.differences else "written"


if __name__ == "__main__":
    main()
