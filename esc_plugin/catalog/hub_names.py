"""How a file of the Hugging Face Hub is named by users. Imports no torch, and asks nobody."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from .manifest import SUFFIXES

SOURCE = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<file>[^\\:@]+))?(?:@(?P<revision>[\w./-]+))?")
#: Under which the Hub answers.
HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
#: Of a page of the Hub, after the host.
PAGE = re.compile(r"/(?P<repo>[^/]+/[^/]+)(?:/(?:blob|resolve|raw|tree)/(?P<revision>[^/]+)(?:/(?P<file>.+?))?)?/?")


class HubFile(NamedTuple):
    """A weights file on the Hub.

    Attributes
    ----------
    repo : str
        ``"org/repo"``.
    file : str
        In the repository; empty for its only weights file.
    revision : str or None
        Commit, tag or branch; None for the main branch.
    """

    repo: str
    file: str = ""
    revision: str | None = None


def parse_source(source: str) -> HubFile | None:
    """Split ``"org/repo"``, ``"org/repo/file"`` or either with ``"@revision"``, or the address of a page of the Hub.

    An address may be of the Hub or of its mirror (``HF_ENDPOINT``), with or without ``https://``.

    Returns
    -------
    HubFile, or None if it is none of them
    """
    source = _of_page(source.strip().removeprefix("hf://"))
    match = SOURCE.fullmatch(source)
    if not match or source.startswith((".", "~")):
        return None
    repo, file = match["repo"], match["file"] or ""
    # Two parts that end like a weights file are a path; three are a file of a repository.
    weights = Path(file or repo).suffix.lower() in SUFFIXES
    return HubFile(repo, file, match["revision"]) if weights == bool(file) else None


def _of_page(source: str) -> str:
    """Return ``"org/repo/file@revision"`` for the address of a page of the Hub, "" for others of it; all else as it is."""
    if "://" not in source and "." not in source.partition("/")[0]:
        return source.rstrip("/")
    from huggingface_hub import constants

    mirror = urlsplit(constants.ENDPOINT)
    try:
        parts = urlsplit(source if "://" in source else f"https://{source}")
    except ValueError:
        return source
    host, path = parts.netloc.lower(), parts.path
    if host == mirror.netloc.lower():
        path = path.removeprefix(mirror.path.rstrip("/"))
    elif host not in HOSTS:
        return source
    page = PAGE.fullmatch(path)
    if not page:
        return ""
    file, revision = unquote(page["file"] or ""), unquote(page["revision"] or "")
    return page["repo"] + (f"/{file}" if file else "") + (f"@{revision}" if revision else "")
