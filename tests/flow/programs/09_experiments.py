"""Parallel experiments with joblib."""

import joblib
import numpy as np
from batchup.flow import B, Batch, C, Dataset, Pipeline, V


class Rows(Batch):
    components = ("x",)


template = (
    Pipeline()
    .init_variable("sums", [])
    .update(B.x, B.x * C("scale") + C("shift", default=0))
    .save_to(V("sums", mode="a"), B.x.sum())
)
dataset = Dataset(8, Rows, preloaded=(np.ones(8),))
configs = [dict(scale=s) for s in (1, 2, 3)]
run = lambda config: (template << dataset << config).run(4, n_epochs=1).v("sums")
print(joblib.Parallel(n_jobs=2)(joblib.delayed(run)(c) for c in configs))
