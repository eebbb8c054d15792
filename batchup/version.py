"""The version of batchup. States of loaders and iterators carry it."""

__version__ = "1.0.0rc1"
