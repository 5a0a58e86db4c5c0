"""A list of models as YAML, checked so that an error names the entry and the field."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from math import isfinite, nan
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from ..errors import EscError
from ..strict_yaml import read_yaml
from ..texts import quoted
from ..typed_yaml import FieldError, Line, Rule, build, one_of
from ..weights.card import GAINS_KEY
from ..weights.limits import MAX_BYTES, MAX_WINDOW
from .gains import Gain
from .purposes import KEYS
from .traits import DefaultRule

#: Of files that may hold a network, the preferred first.
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
MANIFEST = "manifest.yaml"
#: Output pixels per input pixel that a network may have.
SCALES = range(1, 17)
#: Where the file comes from; an entry has exactly one of them.
SOURCES = ("bundled", "hub", "url", "path")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_safe(url: str) -> bool:
    """Tell whether a URL is valid and of HTTPS, or leads to this very machine, where HTTP is as safe."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # which only now are parsed
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


Name = Annotated[Line, Rule("is no name", bool)]
Scale = Annotated[int, Rule("is not a whole number from 1 to 16", SCALES.__contains__)]
Window = Annotated[int, Rule(f"is not a whole number from 1 to {MAX_WINDOW}", range(MAX_WINDOW + 1).__contains__)]
Megabytes = Annotated[int, Rule("is not a whole number of megabytes", range(MAX_BYTES // 10**6 + 1).__contains__)]
Digest = Annotated[str, Rule("is not 64 hexadecimal digits in lower case", re.compile("([0-9a-f]{64})?").fullmatch)]
Repository = Annotated[str, Rule("is not of the form org/repo", re.compile(r"([\w.-]+/[\w.-]+)?").fullmatch)]
Address = Annotated[Line, Rule("is no valid address that begins with https://", lambda url: not url or is_safe(url))]


@dataclass(frozen=True)
class CatalogEntry:
    """One model on offer.

    Attributes
    ----------
    name : str
        What users type.
    scale : int
        Output pixels per input pixel; 0 for a file of the user's that doesn't state it.
    purpose : str
        What it is for, one of `purposes.KEYS`; empty where only the user knows.
    family : str
        Name of the architecture, such as ``"ESC-lt"``.
    summary : str
        One line for menus.
    detail : str
        What it does to detail, as a clause: "sharper edges, no invented texture".
    license, license_note : str
        SPDX identifier of the weights' licence, and what it rests on if that isn't obvious.
    bundled : str
        Name of a file inside the package.
    hub, revision : str
        ``"org/repo"`` on the Hugging Face Hub, and a commit, tag or branch.
    url : str
        Of a file. ``{file}`` in it stands for the field of that name.
    path : str
        A local file, relative to the manifest.
    file : str
        The file's name, in the repository or in the models folder.
    sha256 : str
        Of that file, or empty where unknown.
    megabytes : int
        About how large that file is; 0 where unknown.
    training : str
        What it was trained on, and how long.
    figures, ssim : dict of str to float
        By benchmark: PSNR on Y in dB (also bicubic's, as ``"Set5 bicubic"``), and SSIM.
    gains : tuple of Gain
        What was measured against bicubic interpolation on images of a kind, by ``benchmarks/kinds.py``.
    harmless : str
        ``"bfloat16"`` where that was measured to be as good as float32 for 8-bit pictures, by ``benchmarks/precision.py``.
    window_size : int
        Of an ESC-RIB, in pixels, whose file doesn't state it; 0 for all others.
    confirmed : bool
        Whether the file was seen, or other projects use its name. Otherwise the name is implied, and the download may fail.
    """

    name: Name
    scale: Scale
    purpose: Annotated[str, one_of(*KEYS)]
    family: Line = ""
    summary: Line = ""
    detail: Line = ""
    license: Line = ""
    license_note: Line = ""
    bundled: Line = ""
    hub: Repository = ""
    revision: Line = ""
    url: Address = ""
    path: Line = ""
    file: Line = ""
    sha256: Digest = ""
    megabytes: Megabytes = 0
    training: Line = ""
    figures: dict[str, float] = field(default_factory=dict)
    ssim: dict[str, float] = field(default_factory=dict)
    gains: tuple[Gain, ...] = ()
    harmless: Line = ""
    window_size: Window = 0
    confirmed: bool = True

    @property
    def source(self) -> str:
        """Which of `SOURCES` the file comes from."""
        return next(source for source in SOURCES if getattr(self, source))

    @property
    def card(self) -> dict[str, Any]:
        """What is known beside the weights, as `Model.card` has it."""
        names = ("family", "purpose", "detail", "license", "license_note", "training", "figures", "ssim", "harmless")
        known = {name: value for name in names if (value := getattr(self, name))}
        return known | ({GAINS_KEY: [asdict(gain) for gain in self.gains]} if self.gains else {})


class Manifest(NamedTuple):
    """What a manifest holds: models, and which of them are taken where none is named, the first rule that fits first."""

    models: list[CatalogEntry]
    defaults: list[DefaultRule]


def read_manifest(path: Path) -> Manifest:
    """Return what a manifest holds; one of the user's may have defaults only.

    Raises
    ------
    EscError
        If it is damaged; the text names the file, the entry and the field.
    """
    return _parse(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _parse(path: Path, changed: int) -> Manifest:
    """Read a manifest; `changed` is there to read it again when it changes."""
    content = read_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("models", [] if "defaults" in content else None), list):
        raise EscError(f"{path}: there must be a list `models`, each entry with name, scale, purpose and a source.")
    entries = [_entry(values, path, position) for position, values in enumerate(content.get("models", []), 1)]
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EscError(f"{path}: entry {quoted(twice[0])}, field 'name': there are two entries of that name.")
    return Manifest(entries, _defaults(content.get("defaults", []), path))


def _defaults(values: Any, path: Path) -> list[DefaultRule]:
    if not isinstance(values, list):
        raise EscError(f"{path}: `defaults` must be a list, each rule with a purpose and conditions, not {quoted(values)}.")
    return [_default(rule, path, position) for position, rule in enumerate(values, 1)]


def _default(values: Any, path: Path, position: int) -> DefaultRule:
    try:
        return build(DefaultRule, values)
    except FieldError as error:
        field = f", field {quoted(error.field)}" if error.field else ""
        raise EscError(f"{path}: default {position}{field}: {error.problem}.") from None


def _entry(values: Any, path: Path, position: int) -> CatalogEntry:
    """Check one entry and fill in what follows from the rest."""
    if not isinstance(values, dict):
        raise EscError(f"{path}: entry {position} is {quoted(values)}, not a mapping of fields.")
    try:
        return _completed(build(CatalogEntry, values | _scores(values.get("figures", {}))), path)
    except FieldError as error:
        name = quoted(values.get("name", position))
        raise EscError(f"{path}: entry {name}, field {quoted(error.field)}: {error.problem}.") from None


def _scores(figures: Any) -> dict[str, dict[str, float]]:
    """Split ``38.35/.9619`` into PSNR and SSIM."""
    if not isinstance(figures, dict):
        raise FieldError("figures", f"{quoted(figures)} is not a mapping of benchmark to figure")
    pairs = {str(benchmark): _figure(benchmark, value) for benchmark, value in figures.items()}
    psnr = {benchmark: pair[0] for benchmark, pair in pairs.items()}
    ssim = {benchmark: pair[1] for benchmark, pair in pairs.items() if len(pair) == 2}
    return {"figures": psnr, "ssim": ssim} if ssim else {"figures": psnr}


def _figure(benchmark: Any, value: Any) -> list[float]:
    try:
        numbers = [float(part) for part in str(value).split("/", 1)]
    except ValueError:
        numbers = [nan]
    if not all(map(isfinite, numbers)):
        raise FieldError("figures", f"{quoted(value)} for {benchmark} is not PSNR or PSNR/SSIM")
    return numbers


def _completed(entry: CatalogEntry, manifest: Path) -> CatalogEntry:
    """Check what the fields of an entry say together, and write out what they leave to its file and its place."""
    sources = [source for source in SOURCES if getattr(entry, source)]
    if len(sources) != 1:
        problem = f"exactly one of them must be there, not {', '.join(sources) or 'none'}"
        raise FieldError(" | ".join(SOURCES), problem)
    if entry.url:
        file = entry.file or urlsplit(entry.url).path.rpartition("/")[2]
        entry = replace(entry, file=file, url=entry.url.replace("{file}", file))
    if entry.path:
        entry = replace(entry, path=_beside(manifest, entry.path))
    _check_file(entry)
    return entry


def _beside(manifest: Path, path: str) -> str:
    try:
        return str(manifest.parent / Path(path).expanduser())
    except RuntimeError as error:  # `~name` of nobody
        raise FieldError("path", str(error).rstrip(".")) from None


def _check_file(entry: CatalogEntry) -> None:
    if not entry.file and (entry.bundled or entry.path):
        return
    if Path(entry.file).suffix.lower() not in SUFFIXES:
        problem = f"{quoted(entry.file)} must name the weights file, with one of {', '.join(SUFFIXES)}"
        raise FieldError("file", problem)
    if entry.url and re.search(r"[/\\:]", entry.file):
        raise FieldError("file", f"{quoted(entry.file)} must be a name without folders")
