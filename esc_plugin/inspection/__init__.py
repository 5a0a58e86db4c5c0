"""Looking inside a network: its kernels, how alike its layers are, and which pixels of an image it looks at."""

from .report import check_report, is_report, write_report
from .study import Study, study

__all__ = ["Study", "check_report", "is_report", "study", "write_report"]
