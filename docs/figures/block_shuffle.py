"""Draw how well a shuffle by blocks mixes, for several windows: classes in a batch, and what a model learns.

The digits of scikit-learn are put in order of their class, the worst order for a shuffle by blocks. To run it::

    python docs/figures/block_shuffle.py
"""

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from style import beside, save

from batchup import ArrayDataSource, BlockSampler, Loader

BLOCK, BATCH, EPOCHS, RUNS = 16, 32, 8, 10
WINDOWS = [1, 2, 4, 8, 16, 32, 89]  # the last: all blocks
SOME = [2, 8, 32, 89]


def data():
    """Digits for training, in order of their class, and others in any order."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    held_out, train = order[: len(X) - 89 * BLOCK], order[len(X) - 89 * BLOCK :]
    train = train[np.argsort(y[train], kind="stable")]
    return (X[train] / 16, y[train]), (X[held_out] / 16, y[held_out])


def loaders(train, window):
    for seed in range(RUNS):
        sampler = BlockSampler(len(train[1]), BLOCK, window)
        yield Loader(ArrayDataSource(list(train), sampler=sampler), BATCH, shuffle=seed)


def classes_in_a_batch(train, window):
    return np.mean([len(set(y.tolist())) for loader in loaders(train, window) for _, y in loader])


def probabilities(weights, X):
    scores = X @ weights
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def losses(train, held_out, window):
    """The loss on held-out digits after each epoch of a logistic regression: the median of some runs."""
    X, y = held_out
    found = []
    for loader in loaders(train, window):
        weights, of_run = np.zeros((64, 10)), []
        for _ in range(EPOCHS):
            for batch, labels in loader:
                weights -= 0.5 * batch.T @ (probabilities(weights, batch) - np.eye(10)[labels]) / len(batch)
            of_run.append(-np.log(probabilities(weights, X)[np.arange(len(y)), y] + 1e-9).mean())
        found.append(of_run)
    return np.median(found, axis=0)


def main():
    train, held_out = data()
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(range(len(WINDOWS)), [classes_in_a_batch(train, window) for window in WINDOWS], "o-")
    left.set_xticks(range(len(WINDOWS)), [*map(str, WINDOWS[:-1]), "all"])
    left.set(xlabel="window (blocks)", ylabel=f"classes in a batch of {BATCH}", ylim=(0, 10.3))
    for window in SOME:
        label = "all: a full shuffle" if window == WINDOWS[-1] else str(window)
        right.plot(range(1, EPOCHS + 1), losses(train, held_out, window), "o-", markersize=3, label=label)
    right.set(xlabel="epoch", ylabel="loss on held-out digits", ylim=(0, None))
    right.legend(title="window", fontsize=8, title_fontsize=8)
    save(figure, beside(__file__, ".svg"))


if __name__ == "__main__":
    main()
