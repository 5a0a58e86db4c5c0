"""The ESC family as torch modules."""

from .config import EscConfig, released
from .esc import ESC

__all__ = ["ESC", "EscConfig", "released"]
