"""Surveys: what is known of an image, changed; with its hash made anew, as who means harm would, and without."""

from __future__ import annotations

import base64
import copy
import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from esc_plugin.errors import EscError
from esc_plugin.survey import Survey, digest_of

from ...small import random_upscaler
from ..case import Case, RefusedError, check
from ..mutate import json_bytes, nudged, twisted

REGION = ((3, 9), (4, 12))


@cache
def known() -> tuple[Any, np.ndarray, dict[str, Any], np.ndarray]:
    """Return an upscaler, an image, its survey as a tree, and the whole result."""
    upscaler = random_upscaler()
    image = np.random.default_rng(0).integers(0, 250, (10, 12, 4), np.uint8)
    survey = upscaler.survey(image, axes="YXS")
    return upscaler, image, json.loads(survey.to_json()), upscaler(image, axes="YXS")


def written() -> bytes:
    """Return a good survey as a file."""
    return json.dumps(known()[2]).encode()


def case(rng: Random) -> Case:
    """Return a survey with something changed."""
    kind = rng.random()
    tree = _other_means(rng) if kind < 0.3 else nudged(rng, known()[2]) if kind < 0.6 else twisted(rng, known()[2])
    forged = rng.random() < 0.6 and isinstance(tree, dict)
    if forged:
        try:
            tree["digest"] = digest_of(tree)
        except Exception:  # of what isn't even shaped like one
            forged = False
    return Case(
        f"survey, {'forged' if forged else 'changed'}", {"a.json": json_bytes(rng, tree)}, lambda f: attempted(f, forged)
    )


def _other_means(rng: Random) -> Any:
    """Return a survey of another image, or of none that there is."""
    tree = copy.deepcopy(known()[2])
    run = tree["planes"][0][rng.choice(("colours", "alpha"))][0]
    means = np.frombuffer(base64.b64decode(run["float32"]), "<f4").copy()
    means[rng.randrange(len(means)) :: rng.choice((1, 3))] = rng.choice(
        (np.nan, np.inf, -np.inf, 3e38, 1e20, 0.0, 1.0, -7.5)
    )
    run["float32"] = base64.b64encode(means.tobytes()).decode()
    return tree


def attempted(folder: Path, forged: bool) -> list[str]:
    """Render a part by the survey; one that wasn't forged makes the same pixels as ever."""
    upscaler, image, _, whole = known()
    survey = Survey.load(folder / "a.json")
    try:
        check(Survey.from_json(survey.to_json()).digest == survey.digest, "written again it is another survey")
    except EscError as error:
        raise RefusedError(type(error).__name__, f"only when written again: {error}") from None
    part = upscaler(image, axes="YXS", region=REGION, survey=survey)
    expected = whole[slice(*REGION[0]), slice(*REGION[1])]
    check(part.shape == expected.shape, f"a part of {part.shape}")
    check(forged or np.array_equal(part, expected), "an unchanged survey makes other pixels")
    return []
