"""What the Hub's client raises, as one sentence that says what to do."""

from __future__ import annotations

import errno

from ..errors import HubError
from .patience import SlowError


class UnreachableError(HubError):
    """The Hub did not answer, so the cache may."""


class BrokenError(UnreachableError):
    """The Hub stopped in the middle of an answer."""


def explain(error: Exception, repo: str, file: str, revision: str | None, offline: bool) -> HubError:
    """Return the error to raise instead of the client's."""
    from huggingface_hub import constants, errors

    site, what = constants.ENDPOINT, f"{repo}/{file}" if file else repo
    at = f" at revision {revision!r}" if revision else ""
    if isinstance(error, errors.HFValidationError):
        return HubError(f"{repo!r} is no name of a repository; one looks like 'org/repo'.")
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{repo!r} is gated: accept its conditions on {site}/{repo}, then log in (`hf auth login`) or set HF_TOKEN."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"{site} has no repository {repo!r} that you may read: check the name; if it is private, "
            "log in (`hf auth login`) or set HF_TOKEN."
        )
    if isinstance(error, errors.DisabledRepoError):
        return HubError(f"{repo!r} was disabled by {site}; choose another model.")
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"{repo!r} has no revision {revision!r}; leave it out, or choose one of {site}/{repo}/commits/main.")
    address = f"{site}/{repo}" + (f"/resolve/{revision or 'main'}/{file}" if file else f"/tree/{revision or 'main'}")
    if isinstance(error, SlowError):
        return UnreachableError(
            f"{site} was so slow with {what!r} that it was given up; try again later, or get {address} by hand."
        )
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return _not_here(error, what + at, address, offline)
    if isinstance(error, errors.EntryNotFoundError):
        return HubError(f"{repo!r} has no file {file!r}{at}; see {site}/{repo}/tree/{revision or 'main'}.")
    if status := _status(error):
        return _refused(status, what, address)
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
        return _disk(error)
    if not file:
        return _not_here(error, what + at, address, offline)
    return BrokenError(f"the connection to {site} broke while {what!r} was on its way; try again, or get {address} by hand.")


def _not_here(error: Exception, what: str, address: str, offline: bool) -> HubError:
    from huggingface_hub import constants, errors

    cache = constants.HF_HUB_CACHE
    if offline or constants.HF_HUB_OFFLINE:
        return UnreachableError(
            f"{what!r} is not in the cache ({cache}), and offline use was asked for; load it once with a connection, "
            f"or get {address} by hand."
        )
    if isinstance(error.__cause__, errors.FileMetadataError):
        return HubError(f"{constants.ENDPOINT} does not answer as a Hugging Face Hub does; check HF_ENDPOINT and any proxy.")
    if (status := _status(error.__cause__)) and status < 500:
        return _refused(status, what, address)
    why = f"{constants.ENDPOINT} answered {status}" if status else f"{constants.ENDPOINT} can't be reached"
    return UnreachableError(
        f"{why}, and {what!r} is not in the cache ({cache}): check the connection (or HF_ENDPOINT) and try again, "
        f"or get {address} by hand."
    )


def _refused(status: int, what: str, address: str) -> HubError:
    from huggingface_hub import constants

    site = constants.ENDPOINT
    if status in (401, 403):
        return HubError(
            f"{site} refuses {what!r} ({status}): log in (`hf auth login`) or set HF_TOKEN to a token that may read it."
        )
    if status == 404:
        return HubError(f"{site} has no {what!r}; check the name.")
    if status == 429:
        return UnreachableError(
            f"{site} has had too many requests (429); try again in some minutes, or log in (`hf auth login`)."
        )
    return (UnreachableError if status >= 500 else HubError)(
        f"{site} answered {status} for {what!r}; try again later, or get {address} by hand."
    )


def _disk(error: OSError) -> HubError:
    from huggingface_hub import constants

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HubError(
            f"the disk of the cache ({constants.HF_HUB_CACHE}) is full; make room, or set HF_HOME to another folder."
        )
    return HubError(
        f"can't write to the cache ({constants.HF_HUB_CACHE}): {error.strerror or error}; "
        "set HF_HOME to a folder that you may write to."
    )


def _status(error: BaseException | None) -> int:
    """Return the HTTP status of an error's response, or 0 without one."""
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)
