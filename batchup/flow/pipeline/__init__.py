"""Pipelines: their steps, and how they run."""
