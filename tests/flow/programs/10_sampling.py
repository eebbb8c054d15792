"""A complex sampling scheme, a different crop for each item."""

import numpy as np
from batchup.flow import Batch, Dataset, F, NumpySampler as NS, apply_parallel, B, P


class Crops(Batch):
    components = "images", "crops"

    @apply_parallel(src="images", dst="crops")
    def crop(self, image, at):
        x, y = at.astype(int)
        return image[x : x + 4, y : y + 4]


centre = NS("n", seed=1, dim=2, loc=6, scale=2).truncate(low=0, high=12)
anywhere = NS("u", seed=2, dim=2, low=0, high=12)
points = 0.7 & centre | 0.3 & anywhere
pipeline = Dataset(20, Crops, preloaded=dict(images=np.random.rand(20, 16, 16))).p.crop(at=P(F(points.sample)(B.size)))
print(pipeline.next_batch(5).crops.shape)
