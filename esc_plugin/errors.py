"""What can go wrong, as one family: catch `EscError` and show its text."""


class EscError(Exception):
    """Base of every error that this package raises on purpose. The text is one line for a person."""


class CheckpointError(EscError):
    """A weights file can't be read, isn't an ESC, or isn't the one it should be."""


class HubError(EscError):
    """A model can't be found or downloaded."""


class ImageError(EscError):
    """An image can't be read, understood or written."""


class Cancelled(EscError):  # noqa: N818  # it is no error of anybody
    """The caller asked to stop."""
