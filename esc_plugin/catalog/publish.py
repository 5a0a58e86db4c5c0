"""Put a model on the Hugging Face Hub: weights, configuration and a card that says what they are."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from ..disk import folder_beside, write_text
from ..errors import CheckpointError, HubError
from ..weights.model import Model
from ..weights.write import config_json
from ..workplace import scratch_folder
from .hub_errors import explain
from .hub_guard import guarded
from .hub_names import HubFile, parse_source
from .load import load_model

PAPER = "https://arxiv.org/abs/2503.06671"
TAGS = ["super-resolution", "image-upscaling", "ESC"]


def publish(
    source: str | Path,
    repo: str,
    *,
    dry_run: str | Path | None = None,
    license: str = "",  # noqa: A002  # the field's name
    base_model: str = "",
    training: str = "",
    private: bool = False,
    window_size: int | None = None,
) -> str:
    """Publish a model on the Hugging Face Hub.

    Parameters
    ----------
    source : str or Path
        Anything that `load_model` opens.
    repo : str
        ``"org/repo"``; it is made if need be.
    dry_run : Path, optional
        Write the files into this folder, which must be empty or absent, and send nothing.
    license : str, optional
        Of the weights, as an SPDX identifier; needed if nothing is known about it.
    base_model : str, optional
        The Hub model that these weights were trained from.
    training : str, optional
        The data and how it was trained on them, in a sentence.
    private : bool
        Whether a new repository is private.
    window_size : int, optional
        Of an ESC-RIB, see `load_model`.

    Returns
    -------
    str
        The URL of the commit, or the folder of a dry run.

    Raises
    ------
    CheckpointError
        If the model can't be used, its licence isn't known, or the folder isn't empty.
    HubError
        If the Hub refuses it; the text says why.
    """
    if parse_source(repo) != HubFile(repo):
        raise HubError(f"{repo!r} is no name of a repository; one looks like 'org/repo'.")
    folder = None if dry_run is None else Path(dry_run)
    if folder is not None:
        _check_empty(folder)
    model = load_model(source, window_size=window_size)
    given = {"license": license, "base_model": base_model, "training": training}
    model.card.update({key: value for key, value in given.items() if value})
    if not model.card.get("license"):
        raise CheckpointError(f"nobody knows the licence of {str(source)!r}; state it with --license (license=...).")
    if folder is not None:
        return str(_written_whole(model, repo, folder))
    with scratch_folder() as work:
        return _upload(write_repository(model, repo, work / "made"), repo, private)


def _written_whole(model: Model, repo: str, folder: Path) -> Path:
    """Write the files of a repository elsewhere on the disk, and move them: they are there all at once, or not at all."""
    place = folder.resolve()  # of which "." has a name
    with folder_beside(place) as beside:
        made = write_repository(model, repo, beside / "made")
        _check_empty(folder)  # somebody may have written there meanwhile
        if place.is_dir():  # perhaps the one that the program runs in
            for path in made.iterdir():
                path.replace(place / path.name)
        else:
            made.replace(place)
    return folder


def _check_empty(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise CheckpointError(f"{str(folder)!r} is not empty; name another folder.")


def write_repository(model: Model, repo: str, folder: Path) -> Path:
    """Write weights, ``config.json`` and the card into a folder, and return it."""
    weights = model.save_pretrained(folder)
    write_text(folder / "README.md", model_card(model, repo, weights.name))
    return folder


def model_card(model: Model, repo: str, file: str) -> str:
    """Return the ``README.md`` of a model's repository.

    Parameters
    ----------
    repo : str
        ``"org/repo"``.
    file : str
        Name of the weights file there.
    """
    card = model.card
    template = files(__package__).joinpath("model_card.md").read_text(encoding="utf-8")
    text = template.format(
        title=repo.partition("/")[2],
        family=card.get("family") or "ESC",
        scale="by any factor" if model.any_scale else f"{model.scale} times",
        paper=PAPER,
        table="\n".join(_facts(model)),
        figures=_figures(card.get("figures", {}), card.get("ssim", {}), model.scale),
        repo=repo,
        file=file,
    )
    return f"---\n{_header(card)}\n---\n\n{text}"


def _header(card: dict[str, Any]) -> str:
    """Return what the Hub itself reads of a card, as YAML."""
    from huggingface_hub import ModelCardData

    return ModelCardData(
        license=str(card["license"]).lower(),
        base_model=card.get("base_model") or None,
        library_name="esc-plugin",
        pipeline_tag="image-to-image",
        tags=TAGS,
    ).to_yaml()


def _facts(model: Model) -> list[str]:
    card = model.card
    parameters = sum(p.numel() for p in model.network.parameters())
    rows = {
        "made for": card.get("purpose"),
        "parameters": f"{parameters:,}",
        "licence": " ".join(part for part in (card.get("license"), card.get("license_note")) if part),
        "trained from": card.get("base_model"),
        "data and training": card.get("training") or "not stated",
        "converted from": card.get("source", model.source),
        "sha256 of that": card.get("source_sha256", model.sha256),
        "configuration": f"`{config_json(model.config)}`",
    }
    return [f"| {name} | {_cell(str(value))} |" for name, value in rows.items() if value]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _figures(psnr: dict[str, float], ssim: dict[str, float], scale: int) -> str:
    if not psnr:
        return ""
    rows = [
        f"| {name} | {value:.2f} | {ssim[name]:.4f} |" if name in ssim else f"| {name} | {value:.2f} | |"
        for name, value in psnr.items()
    ]
    what = f"PSNR in dB and SSIM on Y (BT.601), {scale} pixels shaved from each border; reduced by MATLAB's bicubic filter."
    return f"\n## Figures\n\n{what}\n\n| | PSNR | SSIM |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _upload(folder: Path, repo: str, private: bool) -> str:
    from huggingface_hub import HfApi

    api = HfApi(library_name="esc-plugin")
    try:
        with guarded():
            api.create_repo(repo, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Publish an ESC model")
    except HubError:
        raise
    except Exception as error:  # see hub.py
        raise explain(error, repo, "", None, offline=False) from None
    return str(getattr(commit, "commit_url", commit))
