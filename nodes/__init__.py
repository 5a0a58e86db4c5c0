"""The ComfyUI door. Only `host` and `extension` import ComfyUI; the other modules run and are tested without it."""
