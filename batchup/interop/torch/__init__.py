"""For PyTorch (``pip install torch``): its DataLoader over batchup's workers, and batches as tensors."""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "batchup.interop.torch needs PyTorch, which is not installed: pip install torch", name="torch"
    ) from _error

from .loader import DataLoader
from .tensors import as_tensors, to_torch

__all__ = ["DataLoader", "as_tensors", "to_torch"]
