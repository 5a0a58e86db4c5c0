"""Run after run of the panel in one napari, with other images and options each time."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from .mixed import inside
from .watch import FEW_SIZES, Watch, judged, look, table

#: Fonts, shaders and models are loaded in the first runs, in which each action comes once.
SETTLED = 10
#: KiB in 1,000 runs, a quarter of a MiB a run, of which napari itself keeps some: two workers of each in its list of tasks.
NOTICED = 256_000
#: Threads that pools of dask and zarr may still start, which they do when all others are busy.
POOLS = 4
MODELS = ("esc-nano-x2", "esc-nano-fluorescence-x2", "esc-nano-x4")
#: What a user does with an image: the button.
ACTIONS = ("Run", "Run", "Run", "Preview", "Show lazily", "Run into zarr", "Run into tif", "Run and cancel")


class Bench:
    """A viewer with our panel, driven as by its buttons."""

    def __init__(self, seed: int, folder: Path) -> None:
        import napari

        self.random, self.folder = Random(seed), folder
        self.viewer = napari.Viewer()
        self.panel = self.opened()

    def opened(self) -> Any:
        _, panel = self.viewer.window.add_plugin_dock_widget("esc-plugin")
        panel.form.device.value = "cpu"
        return panel

    def reopened(self) -> None:
        self.viewer.window.remove_dock_widget(self.panel)
        self.panel = self.opened()

    def image(self) -> Any:
        """Add noise of some shape and type as a layer."""
        dtype = self.random.choice((np.uint8, np.uint16, np.float32))
        shape = [self.random.randint(24, 64) for _ in "yx"]
        shape = [2] * self.random.randint(0, 1) + shape
        values = np.random.default_rng(self.random.getrandbits(32)).random(shape)
        return self.viewer.add_image((values * 200).astype(dtype), scale=[0.5] * len(shape))

    def one(self, number: int) -> str:
        """Do one thing with one image, and take all layers away; return what it was."""
        from napari.utils.notifications import notification_manager

        self.image()
        form = self.panel.form
        action = ACTIONS[number] if number < len(ACTIONS) else self.random.choice(ACTIONS)
        form.model.value, form.region.value = self.random.choice(MODELS), "whole"
        form.factor.value = self.random.choice((1, 1.5, 2, 3))
        form.strength.value, form.difference.value = self.random.choice((1, 0.5)), self.random.random() < 0.3
        form.intensity.value = self.random.choice(form.intensity.choices)
        name = f"result-{self.random.getrandbits(40)}.ome.{action.rpartition(' ')[2]}"
        form.store.value = str(self.folder / name) if action.startswith("Run into") else ""
        button = self.panel.run_bar.buttons["Run" if action.startswith("Run") else action]
        self.events(0.2)  # so that the canvas is drawn
        self.until(lambda: button.enabled)  # once it is known what it would make
        button.native.click()
        if action == "Run and cancel":
            self.events(0.05)
            self.panel.cancel()
        self.until(lambda: not self.panel.jobs)
        self.events(0.2)
        told = len(self.viewer.layers)
        self.viewer.layers.clear()
        notification_manager.records.clear()
        self.events(0.1)
        return f"{action}: {'nothing' if told == 1 else 'layers'} added"

    def events(self, seconds: float) -> None:
        from qtpy.QtTest import QTest

        QTest.qWait(round(1000 * seconds))

    def until(self, condition: Callable[[], object], seconds: float = 600) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit("a job doesn't end")
            self.events(0.05)


def run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        for name, inside in {"TMPDIR": "temporary", "XDG_CONFIG_HOME": "config", "ESC_MODELS_DIR": "models"}.items():
            (Path(folder) / inside).mkdir()
            os.environ[name] = str(Path(folder) / inside)
        os.environ |= FEW_SIZES
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "config" / "settings.yaml")  # the user's stay as they are
        tempfile.tempdir = os.environ["TMPDIR"]
        (Path(folder) / "results").mkdir()
        return _run(args, Path(folder))


def _run(args: argparse.Namespace, folder: Path) -> int:
    logging.disable(logging.ERROR)
    bench, watch, done = Bench(args.seed, folder / "results"), Watch(args.out), Counter[str]()
    start = time.monotonic()
    for number in range(args.runs):
        done[bench.one(number)] += 1
        if number % 10 == 9:
            bench.reopened()
            bench.events(0.3)
        watch.add(look(os.getpid(), number + 1, time.monotonic() - start, folder / "temporary", **inside()))
    bench.viewer.close()
    print(table(watch.looks))
    print(f"\n{', '.join(f'{text} {many}' for text, many in sorted(done.items()))}\n{watch.told()}")
    objects, error = watch.growth("objects")
    print(f"{objects / 1000:+,.1f} (± {error / 1000:,.1f}) objects a run")
    return judged(watch.faults(watch.looks[min(SETTLED, len(watch.looks) - 1)], NOTICED, POOLS))
