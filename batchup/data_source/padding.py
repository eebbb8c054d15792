"""Pad samples of unequal length, so that a batch of them is an array."""

from __future__ import annotations

import bisect
import operator
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..engine.arena import empty
from ..engine.checks import whole
from ..engine.padding import pad_along_all, pad_along_first, should_be_plain
from ..engine.stacking import as_array, common_dtype
from ..engine.tree import Batch

__all__ = ["pad"]

Array = npt.NDArray[Any]
NDIM, SHAPE = operator.attrgetter("ndim"), operator.attrgetter("shape")
NUMBERS = (int, float, complex, np.number, np.bool_)


class pad:
    """A function for `map` that makes arrays of fields whose samples differ in length.

    Fields that are lists of arrays, or of lists of numbers, are padded to their longest sample. Other fields stay as
    they are; a list of numbers becomes an array.

    Parameters
    ----------
    to_multiple : int, default 1
        Pad to a multiple of this length along each axis that is padded.
    value : number, default 0
        What to pad with.
    mask : bool, default False
        Whether to add, for each field that is padded, an array that is True where there are values of the sample. In a
        tuple, the masks come after all fields; in a dict the mask of ``"x"`` is called ``"x_mask"``.
    side : {"right", "left"}, default "right"
        Where the padding goes.
    length : int or sequence of int, optional
        Pad to this length, instead of that of the longest sample. If there are several lengths, such as those of a
        `BucketSampler`, pad to the first that is long enough: ``length=[n for _, n in sampler.shapes(batch_size)]``. A
        longer sample raises an error.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> words = [np.array([5, 6, 7]), np.array([8])]
    >>> ds = ArrayDataSource([words, np.array([0, 1])]).map(pad(to_multiple=4, mask=True))
    >>> x, y, mask = next(ds.batch_iterator(2))
    >>> x
    array([[5, 6, 7, 0],
           [8, 0, 0, 0]])
    >>> mask.sum(axis=1)
    array([3, 1])
    """

    def __init__(
        self,
        to_multiple: int = 1,
        value: float = 0,
        mask: bool = False,
        side: Literal["right", "left"] = "right",
        length: int | Sequence[int] | None = None,
    ) -> None:
        if isinstance(to_multiple, (list, tuple, dict, np.ndarray)):
            raise TypeError("pad() makes a function for map: write source.map(pad()), not source.map(pad)")
        self.to_multiple = whole("to_multiple", to_multiple)
        self.length = length
        self._lengths = None if length is None else sorted(whole("length", n) for n in np.atleast_1d(length).tolist())
        if self._lengths == []:
            raise ValueError("length should be one length or several, but there is none")
        if side not in ("right", "left"):
            raise ValueError(f'side should be "right" or "left", not {side!r}')
        self.value, self.mask, self.side = value, mask, side

    def __repr__(self) -> str:
        return f"pad(to_multiple={self.to_multiple}, value={self.value}, mask={self.mask}, side={self.side!r})"

    def __call__(self, *batch: Any) -> Batch:
        if len(batch) == 1 and isinstance(batch[0], dict):
            return self._of_dict(batch[0])
        parts = [self._field(each) for each in batch]
        masks = [mask for _, mask in parts if mask is not None] if self.mask else []
        return (*(field for field, _ in parts), *masks)

    def _of_dict(self, batch: dict[str, Any]) -> dict[str, Any]:
        parts = {name: self._field(each) for name, each in batch.items()}
        masks = {f"{name}_mask": mask for name, (_, mask) in parts.items() if mask is not None} if self.mask else {}
        for name in masks:
            if name in batch:
                raise ValueError(f"mask=True gives each batch a field {name!r}, but there is one of that name")
        return {**{name: field for name, (field, _) in parts.items()}, **masks}

    def _field(self, samples: Any) -> tuple[Any, Array | None]:
        """A field as an array where it can be one, and its mask if it was padded."""
        if isinstance(samples, np.ndarray) and samples.dtype != object:
            return samples, None
        if not isinstance(samples, (list, tuple, np.ndarray)) or not len(samples):
            return samples, None
        if _depth(samples[0]) == 0:
            return (np.asarray(samples) if isinstance(samples[0], NUMBERS) else samples), None
        return self._padded(list(samples))

    def _padded(self, samples: list[Any]) -> tuple[Array, Array | None]:
        arrays: list[Array] = samples
        if set(map(type, samples)) != {np.ndarray}:
            if _is_ragged(samples):
                return self._padded_ragged(samples)
            arrays = list(map(as_array, samples))
            should_be_plain(arrays)
        ndims = set(map(NDIM, arrays))
        if len(ndims) > 1:
            raise ValueError(f"samples to pad should have the same number of axes, not {' and '.join(map(str, ndims))}")
        if ndims != {1} and len({shape[1:] for shape in map(SHAPE, arrays)}) > 1:
            return self._padded_along_all(arrays)
        lengths = list(map(len, arrays))
        most = self._rounded(max(lengths))
        out = pad_along_first(arrays, lengths, most, self.value, self.side == "left")
        return out, self._mask_of(np.array(lengths), most) if self.mask else None

    def _mask_of(self, lengths: Array, most: int) -> Array:
        out: Array = empty((len(lengths), most), bool)
        places = np.arange(most)
        if self.side == "left":
            np.greater_equal(places, (most - lengths)[:, None], out=out)
        else:
            np.less(places, lengths[:, None], out=out)
        return out

    def _padded_along_all(self, arrays: list[Array]) -> tuple[Array, Array | None]:
        """Arrays that differ along several axes."""
        largest = tuple(map(self._rounded, map(max, zip(*(each.shape for each in arrays), strict=True))))
        ratios = [float(self.side == "left")] * len(largest)
        out = pad_along_all(arrays, largest, self.value, ratios)
        if not self.mask:
            return out, None
        return out, pad_along_all([np.broadcast_to(True, each.shape) for each in arrays], largest, False, ratios)

    def _padded_ragged(self, samples: Sequence[Any]) -> tuple[Array, Array | None]:
        """Samples that are lists of arrays of unequal lengths: each of them is padded, and then all."""
        inner = pad(1, self.value, True, self.side)
        parts = [
            inner._padded(list(each)) if len(each) else (np.empty((0, 0)), np.empty((0, 0), bool)) for each in samples
        ]
        kind = common_dtype([array for array, _ in parts if array.size] or [np.empty(0)])
        outer = pad(self.to_multiple, self.value, False, self.side, self.length)
        out, _ = outer._padded_along_all([array.astype(kind, copy=False) for array, _ in parts])
        if not self.mask:
            return out, None
        masks = pad(self.to_multiple, False, False, self.side, self.length)
        return out, masks._padded_along_all([np.asarray(mask) for _, mask in parts])[0]

    def _rounded(self, longest: int) -> int:
        if self._lengths is None:
            return -(-longest // self.to_multiple) * self.to_multiple
        if longest > self._lengths[-1]:
            raise ValueError(f"samples should be at most length={self._lengths[-1]} long, not {longest}")
        return self._lengths[bisect.bisect_left(self._lengths, longest)]


def _depth(sample: Any) -> int:
    """How many axes a sample has; those of a list are those of its first item, and one more."""
    if isinstance(sample, (list, tuple)):
        return 1 + (_depth(sample[0]) if len(sample) else 0)
    return np.ndim(sample)


def _is_ragged(samples: Sequence[Any]) -> bool:
    """Whether samples are lists of arrays, or of lists."""
    return any(isinstance(each, (list, tuple)) and len(each) and _depth(each) > 1 for each in samples)
