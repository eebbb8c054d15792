"""Whole training runs: one object that can be repeated, resumed, split over trainers, and asked where its time goes."""

from .job import Skipped
from .loader import Loader
from .stats import LoaderStats

__all__ = ["Loader", "LoaderStats", "Skipped"]
