"""Augmentation: the same random turn for image and mask, one seed for any number of workers."""

import numpy as np
from batchup.flow import Batch, Dataset, P, R, apply_parallel


class Pictures(Batch):
    components = "images", "masks"
    apply_defaults = dict(Batch.apply_defaults, target="threads")

    @apply_parallel
    def turn(self, image, times):
        return np.rot90(image, times)


data = np.random.rand(40, 8, 8), np.random.rand(40, 8, 8) > 0.5
pipeline = Dataset(40, Pictures, preloaded=data).p.turn(src=["images", "masks"], times=P(R("integers", 0, 4)), p=0.8)
once = [b.images for b in pipeline.gen_batch(10, shuffle=7, n_epochs=1)]
again = [b.images for b in pipeline.gen_batch(10, shuffle=7, n_epochs=1, prefetch=3)]
assert all((a == b).all() for a, b in zip(once, again))  # one seed, any number of workers
