"""Whole training runs: one object that can be repeated, resumed, split over trainers, and asked where its time goes."""

from .loader import Loader
from .skipping import Skipped
from .stats import LoaderStats

__all__ = ["Loader", "LoaderStats", "Skipped"]
