"""How far a download from the Hub is: what its client would draw, as `Progress` and `Cancel`."""

from __future__ import annotations

import inspect
from typing import Any

from ..errors import HubError
from ..progress import Cancel, Progress, stop_if_asked
from ..weights.limits import MAX_BYTES


def reporting(what: str, progress: Progress | None, cancel: Cancel | None) -> dict[str, Any]:
    """Return the options of a download that make the Hub's client report, and stop at what is too large for a model.

    Parameters
    ----------
    what : str
        The file's name, for errors.

    Returns
    -------
    dict
        Empty with an old client, which can do neither.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import tqdm

    if "tqdm_class" not in inspect.signature(hf_hub_download).parameters:
        return {}

    class Reporter(tqdm):
        """Hands on what the client would draw."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.done = int(kwargs.get("initial") or 0)
            self.size = int(kwargs.get("total") or 0)
            base: Any = super()
            base.__init__(*args, **(kwargs | ({"disable": True} if progress or cancel else {})))
            self.check_size()

        def update(self, n: float | None = 1) -> None:
            super().update(n)
            self.done += int(n or 0)
            self.check_size()
            if progress:
                progress(self.done, max(self.done, self.size))
            stop_if_asked(cancel)

        def check_size(self) -> None:
            if max(self.done, self.size) > MAX_BYTES:
                raise HubError(f"{what!r} is larger than {MAX_BYTES:,} bytes; no model is.")

    return {"tqdm_class": Reporter}
