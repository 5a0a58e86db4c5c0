"""Take the pictures of docs/try.md: ``python docs/images/try_pictures.py``.

It needs playwright, a Chromium among the programs, scikit-image, and what ``esc-sr try`` needs. The photo is NASA's portrait
of Eileen Collins (public domain, from scikit-image), made worse as phones do it.
"""

from __future__ import annotations

import io
import shutil
import threading
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright
from skimage import data

from esc_plugin.cli.page import build
from esc_plugin.page.serve import PageServer

HERE = Path(__file__).parent
MODELS = ["esc-nano-real-x2", "esc-nano-real-x4", "esc-nano-x2", "esc-nano-x4"]
DESKTOP = {"viewport": {"width": 1120, "height": 720}}
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}


def photo() -> bytes:
    """Return a small photo as the web has them."""
    small = Image.fromarray(data.astronaut()).crop((60, 0, 380, 240)).resize((160, 120), Image.Resampling.BICUBIC)
    small.save(file := io.BytesIO(), "JPEG", quality=85)
    return file.getvalue()


def save(page: Any, name: str) -> None:
    """Save what the page shows, in few colours: pages have few, and files get small."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(HERE / name, optimize=True)


def upscale(page: Any, scale: int) -> None:
    """Put the photo in and wait for the result."""
    page.check(f"input[value='{scale}']")
    page.set_input_files("#file", files=[{"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo()}])
    page.wait_for_selector("body[data-state=done]", timeout=600_000)
    page.wait_for_timeout(500)


def main() -> None:
    """Take all pictures."""
    with PageServer(build(MODELS, offline=False)) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, scheme, options in (
            ("try.png", "light", DESKTOP),
            ("try-phone.png", "light", PHONE),
            ("try-drop.png", "dark", DESKTOP),
        ):
            page = browser.new_context(color_scheme=scheme, **options).new_page()
            page.goto(server.url)
            page.wait_for_selector("body[data-backend]", timeout=600_000)
            if name == "try-drop.png":
                page.wait_for_timeout(500)
            else:
                upscale(page, 4)
            if name == "try.png":
                page.click("#record summary")
            save(page, name)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
