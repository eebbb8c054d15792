"""Sample weights that make all classes equally likely."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices, whole
from .labels import classes_of, label_array

__all__ = ["balancing_weights", "class_labels"]


def balancing_weights(labels: Indices) -> npt.NDArray[np.float64]:
    """One weight per sample; the weights of each class that occurs have the same sum.

    >>> balancing_weights(np.array([0, 0, 3]))
    array([0.25, 0.25, 0.5 ])
    """
    counts = np.bincount(labels)
    per_class = 1.0 / (np.maximum(counts, 1).astype(float) * np.count_nonzero(counts))
    weights: npt.NDArray[np.float64] = per_class[labels]
    return weights


def class_labels(y: Any, n_classes: int | None) -> Indices:
    """`y` as an array of classes from 0 up to, not including, `n_classes`. Labels other than integers are numbered.

    Raises
    ------
    ValueError
        If `y` is not one-dimensional, is empty, has a missing label or an integer outside 0 to ``n_classes - 1``.

    >>> class_labels(["cat", "dog", "cat"], None)
    array([0, 1, 0])
    """
    labels = label_array(y)
    if labels.ndim != 1 or labels.dtype.kind not in "iub" or len(labels) == 0:
        labels = classes_of(y).codes
    if labels.min() < 0:
        raise ValueError(f"y should be classes from 0; index {labels.argmin()} is {labels.min()}")
    if n_classes is not None and labels.max() >= whole("n_classes", n_classes):
        raise ValueError(
            f"n_classes should be at least {labels.max() + 1}, one more than the largest class in y, not {n_classes}"
        )
    return labels.astype(np.intp)
