"""Steps before and after a run, a model that is saved and loaded, samplers, and a loop over `next_batch`."""

import pathlib
import tempfile

import numpy as np

from batchup.flow import B, Batch, C, Dataset, F, I, NumpySampler, P, Pipeline, R, V, action


class Mean:
    """A model: the mean of all it has seen."""

    def __init__(self, config=None):
        self.total, self.n = 0.0, 0
        if config and "load" in config:  # as models of BatchFlow do
            self.load(**config["load"])

    def train(self, x):
        self.total, self.n = self.total + x.sum(), self.n + len(x)

    def predict(self, x):
        return x - self.total / self.n

    def save(self, path):
        pathlib.Path(path).write_text(f"{self.total} {self.n}")

    def load(self, path):
        self.total, self.n = map(float, pathlib.Path(path).read_text().split())


class Rows(Batch):
    components = ("x",)

    @action
    def shift(self, by):
        self.x = self.x + by
        return self


def greet():
    print("begin")


folder = pathlib.Path(tempfile.mkdtemp())
dataset = Dataset(100, Rows, preloaded=(np.arange(100.0),))
points = 0.5 & NumpySampler("n", loc=10, seed=1) | 0.5 & NumpySampler("u", low=0, high=1, seed=2)

train = dataset.p.shift(C("by")).train_model("mean", B.x).update(V("last"), I("c")) << {"by": 1.0}
train.init_variable("last", 0)
train.init_variable("order", [])
train.init_model("mean", Mean, "dynamic")
train.before.greet()
train.after.save_model("mean", folder / "mean").update(V("order", mode="a"), "after")
train.run(10, shuffle=3)
print(train.v("last"), train.v("order"), (folder / "mean").read_text())

test = (Pipeline() << dataset).shift(F(points.sample)(B.size)[:, 0]).predict_model("mean", B.x, save_to=B.rest)
test.load_model_now("mean", Mean, "dynamic", path=folder / "mean")
sizes = []
for _ in range(25):
    batch = test.next_batch(10)
    sizes.append(batch.rest.shape)
print(len(sizes), set(sizes), P(R("uniform")) is not None)
