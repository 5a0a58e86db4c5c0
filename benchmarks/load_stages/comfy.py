"""Many jobs in the queue of a ComfyUI that runs on this machine."""

from __future__ import annotations

import argparse
import io
import json
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
from PIL import Image

from .watch import Watch, judged, look, table

#: One in so many prompts can't be run: every other one is refused at once, the others fail when it is their turn.
WRONG = 25
#: Seconds: between two looks, between two interrupts, and after which nothing moves any more.
EVERY, INTERRUPT, STUCK = 2.0, 20.0, 300.0
#: KiB in 1,000 prompts: the server itself keeps all of them in its history, and remembers sizes that it has met.
NOTICED = 65_536
MODELS = ("esc-nano-x2", "esc-nano-x4", "esc-nano-real-x2")


@dataclass
class Server:
    """A ComfyUI by its address."""

    address: str

    def asked(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def upload(self, name: str, image: Image.Image) -> None:
        """Put an image into the folder of inputs."""
        image.save(file := io.BytesIO(), "PNG")
        edge = uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{{}}"{{}}\r\n\r\n'
        body = head.format("subfolder", "").encode() + b"load\r\n" + head.format("overwrite", "").encode() + b"true\r\n"
        body += head.format("image", f'; filename="{name}"').encode() + file.getvalue() + f"\r\n--{edge}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.address}/upload/image", body, kind), timeout=60):
            pass

    def queue(self, graph: dict[str, Any]) -> str:
        """Queue a prompt and return its id, or an empty text if it is refused."""
        try:
            return str(self.asked("/prompt", {"prompt": graph})["prompt_id"])
        except urllib.error.HTTPError as error:
            error.close()
            return ""

    @property
    def left(self) -> int:
        return int(self.asked("/prompt")["exec_info"]["queue_remaining"])

    @property
    def pid(self) -> int:
        """Of the process that listens there."""
        port = int(self.address.rpartition(":")[2])
        found = (c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port and c.pid)
        return next(found)


def graph(image: str, random: Random, model: str, stock: bool) -> dict[str, Any]:
    """Return a prompt: an image, a model, the node, a file."""
    size = {"size": "factor", "size.factor": 1.5} if random.random() < 0.3 else {"size": "model scale"}
    widgets = {"strength": random.choice((1.0, 0.5)), "memory_limit": 0.0, "passes": "auto", "consistency": False}
    widgets |= {"linear_light": False, "alpha": "network", "precision": "auto", "second_share": 0.5}
    upscale: dict[str, Any] = {
        "class_type": "ESC_UpscaleImage",
        "inputs": {"upscale_model": ["2", 0], "image": ["1", 0], **widgets, **size},
    }
    if stock:
        upscale = {"class_type": "ImageScaleBy", "inputs": {"image": ["1", 0], "upscale_method": "lanczos", "scale_by": 2.0}}
    nodes = {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "ESC_LoadModel", "inputs": {"model": model}},
        "3": upscale,
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "load/result"}},
    }
    if stock:
        del nodes["2"]
    return nodes


def wrong(nodes: dict[str, Any], number: int) -> dict[str, Any]:
    """Make of a prompt one that can't be run."""
    if number % (2 * WRONG) == WRONG - 1:
        nodes["1"]["inputs"]["image"] = "load/none.png"
    else:  # no error of the prompt, but of the node
        nodes["3"]["inputs"] |= {"consistency": True, "size": "factor", "size.factor": 1.55}
    return nodes


@dataclass
class Run:
    """Prompts that are queued, and looks at the server meanwhile and until it has done them all."""

    server: Server
    args: argparse.Namespace
    watch: Watch
    ids: list[str] = field(default_factory=list)
    refused: int = 0
    interrupted: int = 0
    start: float = field(default_factory=time.monotonic)
    looked: float = 0.0

    def queue_all(self) -> None:
        """Upload an image for each prompt, and queue it."""
        random, rng, args = Random(self.args.seed), np.random.default_rng(self.args.seed), self.args
        for number in range(args.jobs):
            shape = random.randint(16, args.side), random.randint(16, args.side), random.choice((3, 4))
            self.server.upload(name := f"{number:05}.png", Image.fromarray(rng.integers(0, 256, shape, np.uint8)))
            nodes = graph(f"load/{name}", random, random.choice(MODELS[: args.models]), args.stock)
            is_wrong = number % WRONG == WRONG - 1 and not args.stock
            found = self.server.queue(wrong(nodes, number) if is_wrong else nodes)
            self.ids += [found] if found else []
            self.refused += not found
            self.look()

    def look(self) -> int:
        """Look at the server if that is due, interrupt it now and then, and return how many prompts wait."""
        left = self.server.left
        if time.monotonic() - self.looked > EVERY:
            self.looked, before = time.monotonic(), int((self.looked - self.start) // INTERRUPT)
            done, seconds = len(self.ids) - left, time.monotonic() - self.start
            self.watch.add(look(self.server.pid, done, seconds, self.args.temporary))
            if left and not self.args.stock and int(seconds // INTERRUPT) > max(before, 0):
                self.server.asked("/interrupt", {})
                self.interrupted += 1
        return left

    def wait(self) -> None:
        """Look at the server until its queue is empty."""
        moved, least = time.monotonic(), self.look()
        while left := self.look():
            if left < least:
                moved, least = time.monotonic(), left
            if time.monotonic() - moved > STUCK:
                raise SystemExit(f"nothing has moved for {STUCK:.0f} s")
            time.sleep(EVERY)
        time.sleep(EVERY)
        self.look()


def outcomes(server: Server, ids: list[str]) -> Counter[str]:
    """Return what the history says of prompts: how each ended, and of errors which node and which kind."""
    history, found = server.asked(f"/history?max_items={2 * len(ids)}"), Counter[str]()
    for name in ids:
        status = history[name]["status"] if name in history else {"status_str": "not in the history", "messages": []}
        text, told = status["status_str"], dict(status["messages"])
        if "execution_interrupted" in told:
            text = "interrupted"
        elif error := told.get("execution_error"):
            text = f"{error['exception_type'].rpartition('.')[2]} in {error['node_type']}"
        found[text] += 1
    return found


def run(args: argparse.Namespace) -> int:
    work = Run(Server(args.server.rstrip("/")), args, Watch(args.out))
    work.queue_all()
    queued = time.monotonic() - work.start
    work.wait()
    seconds, watch = time.monotonic() - work.start, work.watch
    found = outcomes(work.server, work.ids)
    print(table(watch.looks))
    told = f"{args.jobs:,} prompts, {work.refused:,} refused, queued in {queued:.0f} s"
    print(f"\n{told}; {len(work.ids) / seconds:.2f} a second of {seconds:.0f} s; {work.interrupted} times /interrupt")
    print("; ".join(f"{many:,} {text}" for text, many in found.most_common()))
    print(watch.told())
    settled = watch.looks[len(watch.looks) // 4]
    lost = [f"{many:,} prompts: {text}" for text, many in found.items() if text.startswith("not in")]
    return judged([*watch.faults(settled, NOTICED), *lost])
