"""What processes that share the work on one image leave behind for the next: journals, and stores with their surveys.

Whoever goes on makes the same pixels as ever, or says why not; of what is forged, with its hashes made anew, any pixels.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import zarr

from esc_plugin.cluster.exact import Group, run_exact
from esc_plugin.cluster.fill import upscale_large
from esc_plugin.cluster.journal import CHECK, JournalFile, line_of
from esc_plugin.cluster.large import SURVEY, Large
from esc_plugin.cluster.render import render
from esc_plugin.files import Picture
from esc_plugin.survey import Survey, digest_of

from ...small import random_upscaler
from ..case import Case, RefusedError, check
from ..mutate import damaged, json_bytes, retyped, twisted
from .zarr import Files, _files

UPSCALER = random_upscaler()
PIXELS = np.random.default_rng(0).integers(0, 60_000, (3, 14, 12), np.uint16)
STORE = "a.ome.zarr"
#: Lines of a journal that are none, or not of this program.
LINES = ("", "{}", "[]", "null", '{"sum":1}', '{"plane":{}}', '{"sum":{"shape":[-1],"float64":""}}', "[" * 5000, "\ufeff{}")


def work(options: dict[str, Any], path: Path | None = None) -> tuple[Survey, np.ndarray]:
    """Survey and upscale the image alone, with a journal if one is named."""
    request = UPSCALER.request(PIXELS, **options)
    out = np.zeros((3, *request.target), np.uint16)

    def write(index: Any, region: Any, values: np.ndarray) -> None:
        out[index][region.slices] = values

    return run_exact(UPSCALER, PIXELS, request, Group(0, 1), write=write, journal=path), out


@cache
def journal(**options: Any) -> str:
    """Return the journal of work that is as good as done."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(JournalFile, "remove", lambda _: None)
        work(options, Path(folder, "journal"))
        return Path(folder, "journal").read_text()


@cache
def expected() -> tuple[str, np.ndarray]:
    """Return the digest of the survey, and the pixels."""
    survey, out = work({})
    return survey.digest, out


def _large(folder: Path) -> Large:
    return Large(UPSCALER, Picture(PIXELS, "ZYX", "TIFF"), str(folder / STORE))


@cache
def begun() -> Files:
    """Return the files of a store of which one block is done."""
    with tempfile.TemporaryDirectory() as folder:
        large = _large(Path(folder))
        survey = large.surveyed(None, None, None)
        render(UPSCALER, PIXELS, survey, large.store(survey), part=(2, 3))
        return _files(Path(folder, STORE))


def claim() -> bytes:
    """Return what a store says of its job."""
    return begun()["esc/job.json"]


def case(rng: Random) -> Case:
    """Return a journal or a store with something changed."""
    return _journal_case(rng) if rng.random() < 0.6 else _store_case(rng)


def _journal_case(rng: Random) -> Case:
    lines = journal().splitlines(keepends=True)
    lines, forged = lines[: rng.randrange(1, len(lines) + 1)], False
    what = rng.choice(("torn", "line", "lines", "head", "bytes", "text", "foreign", "other", "whole"))
    at = rng.randrange(len(lines))
    if what == "torn":
        lines[-1] = lines[-1][: rng.randrange(len(lines[-1]))]
    elif what in ("line", "head"):
        at = 0 if what == "head" else at
        lines[at] = json_bytes(rng, twisted(rng, json.loads(lines[at]))).decode("utf-8", "surrogateescape") + "\n"
    elif what == "lines":
        lines = rng.sample(lines, rng.randrange(1, len(lines) + 1)) if rng.random() < 0.5 else [*lines, *lines[at:]]
    elif what == "foreign":
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(LINES) + "\n")
    elif what == "other":
        lines[at:] = journal(scale=3).splitlines(keepends=True)[at:]
    text = "".join(lines)
    text = retyped(rng, text) if what == "text" else text
    if what != "torn" and rng.random() < 0.3:
        text, forged = _forged(text), True
    data = text.encode("utf-8", "surrogateescape") if text.isprintable() else text.encode("utf-8", "surrogatepass")
    data = damaged(rng, data) if what == "bytes" else data
    return Case(
        f"journal, {what}{', forged' * forged}", {"journal": data}, lambda f: continued(f, forged), kept=("journal",)
    )


def _forged(text: str) -> str:
    """Return a journal with all that tells that it was changed made anew, as far as it is shaped like one."""
    made, before = "", ""
    for line in text.splitlines(keepends=True):
        with suppress(Exception):
            content = json.loads(line)
            content.pop(CHECK, None)
            with suppress(Exception):
                content["survey"]["digest"] = digest_of(content["survey"])
            line = line_of(content, before)
            before = json.loads(line)[CHECK]
        made += line
    return made


def continued(folder: Path, forged: bool) -> list[str]:
    """Go on with a journal."""
    survey, out = work({}, folder / "journal")
    if not forged:
        digest, pixels = expected()
        check(np.array_equal(out, pixels), "going on with a journal makes other pixels")
        check(survey.digest == digest, "going on with a journal makes another survey")
    check(not (folder / "journal").exists(), "the journal is still there")
    return []


def _store_case(rng: Random) -> Case:
    files, forged, name = dict(begun()), False, ""
    for _ in range(rng.choice((1, 1, 2, 3))):
        name = rng.choice(
            list(files) if rng.random() < 0.3 else [SURVEY, SURVEY, "esc/job.json", "zarr.json", "0/zarr.json"]
        )
        kind = rng.randrange(6)
        if kind == 0:
            files.pop(name, None)
        elif kind == 1:  # a marker without a block, or what a dead writer left
            name = f"esc/{rng.choice(('done', 'done/0', 'survey', ''))}/{rng.choice(('0', '2', '7', 'x', '.esc-0'))}"
            files[name] = b""
        elif "/c/" in name:  # whoever writes a shard marks it later, so what a marked one holds is believed
            forged = True
            files[name] = damaged(rng, files.get(name, b""))
        else:
            files[name] = _changed(rng, files.get(name, b""), kind)
            forged = forged or kind == 2
    placed = {f"{STORE}/{key}": content for key, content in files.items() if not _in_the_way(key, files)}
    return Case(f"store, {name}{', forged' * forged}", placed, lambda f: filled(f, forged), kept=(STORE,))


def _in_the_way(key: str, files: Files) -> bool:
    return any(other.startswith(f"{key}/") for other in files)


def _changed(rng: Random, data: bytes, kind: int) -> bytes:
    """Return a text of a store, twisted, or damaged; of kind 2 a survey with its hash made anew."""
    try:
        tree = twisted(rng, json.loads(data))
        if kind == 2:
            tree["digest"] = digest_of(tree)
        return json_bytes(rng, tree) if kind != 3 else damaged(rng, data)
    except Exception:  # of what isn't even shaped like one
        return damaged(rng, data)


def filled(folder: Path, forged: bool) -> list[str]:
    """Go on with a store to its end."""
    summary = upscale_large(_large(folder))
    if summary.failures:
        raise RefusedError("by block")
    check(summary.finished, "the store isn't finished")
    made: Any = zarr.open_group(str(folder / STORE), mode="r")["0"]
    check(forged or np.array_equal(made[...], expected()[1]), "going on with a store makes other pixels")
    return []
