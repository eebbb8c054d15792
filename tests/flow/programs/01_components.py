"""Components, an action, a run."""

import numpy as np
from batchup.flow import Batch, Dataset, action


class Scans(Batch):
    components = "images", "masks", "labels"

    @action
    def mask_out(self, value=0):
        self.images = np.where(self.masks, self.images, value)
        return self


data = np.random.rand(50, 8, 8), np.random.rand(50, 8, 8) > 0.5, np.arange(50) % 2
dataset = Dataset(50, Scans, preloaded=data)
for batch in dataset.p.mask_out().gen_batch(20, shuffle=42, n_epochs=1):
    first = batch[batch.indices[0]]  # an item, by its id
    assert (first.images == batch.images[0]).all()  # a component, by position
