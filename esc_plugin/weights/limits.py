"""What no ESC network exceeds, so that a file which claims more is refused before memory is taken. Imports no torch."""

#: Bytes of a weights file; in a host's folder there may be files of many gigabytes.
MAX_BYTES = 2**30
#: Edge of an attention window in pixels; published are up to 64. The bias of larger ones may take more memory than a
#: machine has.
MAX_WINDOW = 128
