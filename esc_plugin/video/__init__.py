"""Films, frame by frame: no frame is held twice, and no more of them than an encoder looks ahead."""
