"""The process that tries cases, one after the other."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .case import LONGEST_ERROR, MOST_BYTES, REFUSED, RIGHT, Case, Outcome, RefusedError, WrongError, reason_of, rng_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from .watch import Watch

#: Bytes of addresses beyond what the process has, and of a file.
ROOM, LARGEST_FILE = 4 * 2**30, 2**28
#: Where programs keep what they want to keep.
HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "ESC_MODELS_DIR", "TMPDIR", "MPLCONFIGDIR", "LOCALAPPDATA")


def serve(pipe: Connection, scratch: Path, kinds: list[str]) -> None:
    """Try each case that comes, as kind, seed and number, and answer with its outcome, until None comes.

    Parameters
    ----------
    scratch : Path
        A folder of this process alone.
    kinds : list of str
        What is imported before the first case: that isn't counted.
    """
    _settle(scratch)
    from .kinds import maker
    from .watch import Watch

    makers = {kind: maker(kind) for kind in kinds}
    _limit()
    watch = Watch(scratch)
    pipe.send(None)
    while (asked := pipe.recv()) is not None:
        kind, seed, number = asked
        try:
            case = makers[kind](rng_of(kind, seed, number))
        except Exception as error:  # of the generator
            pipe.send(RuntimeError(f"can't make {kind} {seed} {number}: {_where(error)}"))
            raise
        pipe.send(tried(case, scratch / "case", watch))


def _settle(scratch: Path) -> None:
    """Keep everything that libraries write and say inside the folder."""
    sys.dont_write_bytecode = True
    for name in HOMES:
        (scratch / name).mkdir(exist_ok=True)
        os.environ[name] = str(scratch / name)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    tempfile.tempdir = None
    said = os.open(scratch / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    faulthandler.enable(said)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")


def _limit() -> None:
    with suppress(ImportError):  # there is none on Windows
        import resource

        limits = {resource.RLIMIT_FSIZE: LARGEST_FILE, resource.RLIMIT_CORE: 0}
        with suppress(OSError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + ROOM
        for kind, limit in limits.items():
            resource.setrlimit(kind, (limit, limit))


def tried(case: Case, folder: Path, watch: Watch) -> Outcome:
    """Put the files of a case into a new folder, give it to the program, and return what became of it."""
    from .watch import begin_peak, peak_since

    shutil.rmtree(folder, ignore_errors=True)
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    before, start = begin_peak(), time.process_time()
    result, about, made, said = _attempted(case, folder, watch)
    seconds, peak = time.process_time() - start, peak_since(before)
    if peak > MOST_BYTES:
        gc.collect()
    if watch.seen:
        result, about = "code run", watch.seen[0]
    elif result in (RIGHT, REFUSED) and peak > MOST_BYTES:
        result, about = "memory", f"{peak / 2**20:.0f} MiB ({result} {about})"
    elif result in (RIGHT, REFUSED) and (problem := _left(case, folder, made)):
        result, about = "half file", problem
    return Outcome(result, case.what, about, seconds, peak, reason_of(said, str(folder)))


def _attempted(case: Case, folder: Path, watch: Watch) -> tuple[str, str, Any, str]:
    """Return a result, the class of a refusal or what was seen, the names of files that were made, and what was said."""
    from esc_plugin.errors import EscError

    try:
        with watch.over(case.network):
            made = case.attempt(folder)
    except WrongError as error:
        return "wrong", str(error), None, ""
    except RefusedError as error:
        return REFUSED, str(error), None, error.text
    except EscError as error:
        text, kind = str(error), type(error)
        if not text.isprintable() or not 0 < len(text) <= LONGEST_ERROR:
            return "traceback", f"{kind.__name__} is no line: {text[:200]!r}", None, ""
        if kind.__module__.partition(".")[0] != "esc_plugin":
            return "traceback", f"{kind.__module__}.{kind.__name__} is no class of ours", None, ""
        return REFUSED, kind.__name__, None, text
    except BaseException as error:
        return "traceback", _where(error), None, ""
    return RIGHT, "", made, ""


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "esc_plugin" in frame.filename or "nodes" in frame.filename] or frames
    last = ours[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} {last.name}: {str(error)[:160]!r}"


def _left(case: Case, folder: Path, made: Any) -> str:
    """Return what is wrong with the files in a folder after a case, or nothing."""
    allowed = (*case.kept, *(made or ()))

    def may_change(name: str) -> bool:
        return name in allowed or name.startswith(tuple(f"{one}/" for one in allowed))

    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
    if extra := sorted(name for name in found - set(case.files) if not may_change(name)):
        return f"{extra[0]!r} stayed behind"
    changed = [name for name, content in case.files.items() if not may_change(name) and _is_other(folder / name, content)]
    return f"{changed[0]!r} was changed" if changed else ""


def _is_other(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() != content
    except OSError:
        return True
