"""Any network of the family over an image of any size, in any memory, with the same result."""

from .areas import areas_for, image_area
from .cells import choose_cells
from .lockstep import walk_together
from .maps import Sink, Source
from .means import Means, ProcessGroup
from .parts import parts_that_fit
from .plan import Need, Plan, make_plan
from .run import NotFiniteError, Run

__all__ = [
    "Means",
    "Need",
    "NotFiniteError",
    "Plan",
    "ProcessGroup",
    "Run",
    "Sink",
    "Source",
    "areas_for",
    "choose_cells",
    "image_area",
    "make_plan",
    "parts_that_fit",
    "walk_together",
]
