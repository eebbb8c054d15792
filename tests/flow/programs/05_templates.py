"""Templates, sums and a function of the current module."""

import numpy as np
from batchup.flow import B, Batch, Dataset, Pipeline


class Pictures(Batch):
    components = "images", "masks"


def process_mask(masks, threshold):
    return (masks > threshold).astype("i1")


load = Pipeline().load(src=(np.random.rand(30, 4, 4), np.random.rand(30, 4, 4)))
prepare = Pipeline().process_mask(B.masks, threshold=0.5, save_to=B.masks).to_array(channels="first")
train = (load + prepare) << Dataset(np.arange(20), Pictures)
test = (load + prepare) << Dataset(np.arange(20, 30), Pictures)
print(train.next_batch(8).images.shape, set(test.next_batch(8).masks.ravel()))
