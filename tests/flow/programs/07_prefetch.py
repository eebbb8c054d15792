"""Prefetch and profile."""

import time
import numpy as np
from batchup.flow import Batch, Dataset, action


class Slow(Batch):
    @action
    def read(self):
        time.sleep(0.05)
        return self.load(src=np.arange(100))


pipeline = Dataset(100, Slow).p.read()
start = time.time()
for batch in pipeline.gen_batch(10, n_epochs=1, prefetch=5, target="threads"):
    pass  # the same batches, in the same order
print("%.2f s instead of 0.50" % (time.time() - start))
print(pipeline.run(10, n_epochs=1, profile=True).show_profile_info())
