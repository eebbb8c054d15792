"""Merge, rest, as_dataset, deepcopy, from_data."""

import numpy as np
from batchup.flow import Batch, Dataset


class Rows(Batch):
    components = "x", "y"


parts = list(Dataset(10, Rows, preloaded=(np.arange(10), np.arange(10) ** 2)).gen_batch(4, n_epochs=1))
batch, rest = Rows.merge(parts, batch_size=7)
print(batch.y, rest.y)  # seven items, three items, new ids from 0
again = parts[1].as_dataset(copy=True)  # ids 4..7 stay
twin = parts[1].deepcopy()
twin.x[:] = 0
print(again.next_batch(2).x, parts[1].x, Rows.from_data(data=(np.ones(3), np.ones(3))).size)
