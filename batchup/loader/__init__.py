"""Training runs: a loader that is reproducible, can be resumed and sharded over ranks, and shows where time goes."""

from .loader import Loader
from .skipping import Skipped
from .stats import LoaderStats

__all__ = ["Loader", "LoaderStats", "Skipped"]
