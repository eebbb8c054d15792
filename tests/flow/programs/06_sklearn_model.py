"""A scikit-learn model: train, import, predict, evaluate."""

import numpy as np
from sklearn.linear_model import SGDClassifier
from batchup.flow import B, Batch, Dataset, Pipeline, V


class Points(Batch):
    components = "x", "y"


x = np.random.randn(600, 3)
y = (x.sum(1) > 0).astype(int)
dataset = Dataset(600, Points, preloaded=(x, y))
dataset.split(0.8, shuffle=1)
train = (
    Pipeline().init_model("clf", source=SGDClassifier()).train_model("clf", B.x, B.y, classes=[0, 1])
) << dataset.train
train.run(32, shuffle=True, n_epochs=5)
test = (
    Pipeline()
    .import_model("clf", train)
    .init_variable("hits", [])
    .predict_model("clf", B.x, save_to=B.guess)
    .update(V("hits", mode="e"), B.guess == B.y)
) << dataset.test
print("accuracy", np.mean(test.run(32, n_epochs=1).v("hits")))
