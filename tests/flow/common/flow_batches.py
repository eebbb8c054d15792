"""Batches, and datasets of them, that several test files of flow need."""

import numpy as np

from batchup.flow import Batch, Dataset, action, apply_parallel


class Rows(Batch):
    """Numbers."""

    components = "x", "y"

    @action
    def add(self, n):
        self.x = self.x + n
        return self

    @action
    def draw(self):
        self.y = self.random.normal(size=self.size)
        return self

    @action
    def nothing(self):
        """Forgets to return the batch."""


def rows(n=10, batch_class=Rows, **attrs):
    """x is 0, 1, 2, … and y is zero."""
    return Dataset(n, batch_class, preloaded=(np.arange(n), np.zeros(n)), **attrs)


def values(batches, name="x"):
    """A component of each batch, as lists."""
    return [getattr(batch, name).tolist() for batch in batches]


class Images(Batch):
    """Images with labels."""

    components = "images", "labels"


class One(Batch):
    """A single component."""

    components = ("x",)


IMAGES, LABELS = np.arange(60.0).reshape(10, 2, 3), np.arange(10) % 3


def images_of(ids=(3, 5), **kwargs):
    """Some of ten images."""
    return Images(ids, preloaded=(IMAGES, LABELS), **kwargs)


class Points(Batch):
    """Numbers, and actions on each of them."""

    components = "x", "y"

    @apply_parallel(src="x")
    def shift(self, x, by):
        return x + by

    def keep(self, results):
        self.y = np.array(results)
        return self


X = np.arange(10.0)


def points(ids=4, batch_class=Points):
    """x is the id, y ten times the id."""
    return batch_class(ids, preloaded=(X, X * 10))
