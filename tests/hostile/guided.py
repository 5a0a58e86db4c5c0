"""``python -m tests.hostile.guided TARGET [OPTIONS of libFuzzer]``: bytes that find new ways through the parsers of our own.

It needs the package atheris, which the project doesn't otherwise use. What it finds becomes a case of a kind, or a test.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import atheris

# How texts begin and end is looked at by functions in C, which say nothing of how near they came unless they are replaced.
atheris.enabled_hooks.add("str")
with atheris.instrument_imports(include=["esc_plugin", "tifffile", "yaml", "json"]):
    from .targets import FOLDER, TARGETS, tried


def main() -> None:
    """Run libFuzzer until its options say to stop, or something is found."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name a target: {', '.join(TARGETS)}")
    name, options = sys.argv[1], sys.argv[2:]
    corpus = Path(tempfile.mkdtemp(prefix=f"esc-guided-{name}-"))
    for i, data in enumerate(TARGETS[name][1]()):
        (corpus / str(i)).write_bytes(data)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    limits = [f"-artifact_prefix={FOLDER}/", "-timeout=10", "-rss_limit_mb=3000"]
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], partial(tried, name))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
