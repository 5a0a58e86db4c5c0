"""Any network of the family over an image of any size, in any memory, with the same result."""

from .maps import Sink, Source
from .plan import Need, Plan, make_plan
from .run import NotFiniteError, Run

__all__ = ["Need", "NotFiniteError", "Plan", "Run", "Sink", "Source", "make_plan"]
