"""Lightning, which runs a training; every module takes it from here, so that all say the same where it can't be had."""

from ..errors import EscError

try:
    import lightning
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.utilities import rank_zero_only
except RuntimeError as error:  # a torchvision that was built for another torch, which Lightning looks at
    raise EscError(f"Lightning can't be imported ({error}); reinstall torch and torchvision together.") from None

__all__ = ["MisconfigurationException", "TensorBoardLogger", "lightning", "rank_zero_only"]
