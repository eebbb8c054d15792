"""Mini-batches for training: fast, reproducible, without a framework.

>>> import numpy as np
>>> from batchup import ArrayDataSource
>>> ds = ArrayDataSource([np.arange(4), np.array([0, 1, 1, 0])])
>>> for X, y in ds.batch_iterator(2, shuffle=np.random.RandomState(12345)):
...     print(X, y)
[1 0] [1 0]
[3 2] [0 1]
"""

__version__ = "1.0.0.dev0"
