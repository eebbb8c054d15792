"""Make batches from a stream of items: a pipe of small functions that runs in the background.

>>> import numpy as np
>>> from batchup.batch_iter import Infinite, apply_at, sample
>>> digits = [(np.full((2, 2), i), i) for i in range(10)]
>>> with Infinite(sample(digits), apply_at(0, np.negative), batch_size=4, batches_per_epoch=2) as batch_iter:
...     for images, labels in batch_iter():
...         print(images.shape, labels.shape)
(4, 2, 2) (4,)
(4, 2, 2) (4,)
"""

from .batching import expiration_pool
from .combiners import combine_batches, combine_pad, combine_to_arrays, pad_batch_equal
from .functions import apply_at, multiply, random_apply, sample_args, unpack_args, zip_apply
from .pipe import Infinite
from .sources import items_of, load_by_random_id, sample
from .stages import ExpirationPool, Iterator, Loky, Threads, buckets

__all__ = [
    "ExpirationPool",
    "Infinite",
    "Iterator",
    "Loky",
    "Threads",
    "apply_at",
    "buckets",
    "combine_batches",
    "combine_pad",
    "combine_to_arrays",
    "expiration_pool",
    "items_of",
    "load_by_random_id",
    "multiply",
    "pad_batch_equal",
    "random_apply",
    "sample",
    "sample_args",
    "unpack_args",
    "zip_apply",
]
