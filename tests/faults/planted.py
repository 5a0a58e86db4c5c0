"""A program with every fault there is, to see that each of them is found."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

#: What the program does wrong, and what that is called.
WRONGS = {
    "": "right",
    "refuses": "refused",
    "raises": "traceback",
    "says two things": "traceback",
    "ends half a result": "half file",
    "leaves an unfinished file": "half file",
    "leaves a temporary file": "half file",
    "leaves another file": "half file",
    "changes its input": "half file",
    "has no end": "hang",
    "leaves a process": "hang",
    "crashes": "crash",
    "makes nothing": "wrong",
    "spoils the next run": "wrong",
}


def main() -> None:
    """Copy ``in`` to ``out``, and do what the environment says wrong."""
    wrong = os.environ.get("PLANTED", "")
    if Path("journal").exists():
        sys.exit("error: can't go on.")
    Path("out").write_bytes(Path("in").read_bytes()[: 3 if wrong == "ends half a result" else None])
    if wrong == "raises":
        raise ValueError(wrong)
    if wrong == "says two things":
        print("error: one")
    for name in {
        "leaves an unfinished file": [".esc-1.png"],
        "leaves a temporary file": [f"{os.environ['TMPDIR']}/a"],
        "leaves another file": ["other"],
        "changes its input": ["in"],
        "spoils the next run": ["journal"],
    }.get(wrong, []):
        Path(name).write_text("x")
    if wrong == "has no end":
        time.sleep(100)
    if wrong == "leaves a process":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    if wrong == "crashes":
        os.abort()
    if wrong == "makes nothing":
        Path("out").unlink()
    if wrong in ("refuses", "says two things"):
        Path("out").unlink()
        print("error: no.")
        sys.exit(1)
