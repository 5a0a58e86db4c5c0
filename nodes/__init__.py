"""The ComfyUI door. A `*_node` says what a node looks like, `host` is ComfyUI; the others run and are tested without it."""
