"""Find the rare class: batches with a fixed number of samples of each class, against plain shuffling.

Two equal networks get the same number of batches of the same size. In a plain shuffle, most batches have no sample of
the rare class, or one. `ClassCountSampler` puts eight into each batch, so that fewer batches are enough (with many
more, plain shuffling comes close, and for some seeds it is as good). Prints how well both find the rare class in
held-out data (average precision), for several tables and on average, and plots precision against recall, averaged over
the tables. To run it::

    pip install 'batchup[examples]'
    python imbalanced.py

It takes a few seconds. The data is made by scikit-learn: a table of 20 numbers for each of 20,000 samples, of which
one in a hundred is of the rare class.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score, precision_recall_curve
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from batchup import ArrayDataSource, ClassCountSampler, Loader

COUNTS = {0: 24, 1: 8}  # of each class, in a batch
BATCH_SIZE = sum(COUNTS.values())


def table(seed):
    """20 numbers and a class for each sample, in a part to train on and a part to test on."""
    X, y = make_classification(
        20_000, 20, n_informative=8, n_redundant=4, n_clusters_per_class=4, weights=[0.99], class_sep=1.2,
        flip_y=0, random_state=seed,
    )  # fmt: skip
    return ArrayDataSource([X, y]).split({"train": 0.5, "test": 0.5}, stratify=y, seed=seed)


def scores(train, batches, test, seed):
    """The probability of the rare class of each test sample, after training on so many batches."""
    network = MLPClassifier([32], learning_rate_init=0.003, random_state=seed)
    for X, y in Loader(train, BATCH_SIZE, shuffle=seed, pool=1).steps(batches):
        network.partial_fit(X, y, classes=[0, 1])
    return network.predict_proba(test)[:, 1]


def compared(seed, batches):
    """The classes of the test samples, and their probabilities after training in both ways."""
    train, test = table(seed).values()
    (numbers, labels), (X, y) = (next(part.batch_iterator(part.num_samples())) for part in (train, test))
    counted = ArrayDataSource([numbers, labels], sampler=ClassCountSampler(labels, COUNTS))
    return y, {
        "plain shuffling": scores(train, batches, X, seed),
        "class counts": scores(counted, batches, X, seed),
    }


def draw(path, tables):
    """Save a plot of precision against recall, on average over the tables."""
    figure = Figure(figsize=(5, 4), layout="constrained")  # a Figure without pyplot needs no display
    axes = figure.subplots()
    recall = np.linspace(0, 1, 201)
    for name in tables[0][1]:
        curves = [precision_recall_curve(y, found[name]) for y, found in tables]
        axes.plot(recall, np.mean([np.interp(recall, r[::-1], p[::-1]) for p, r, _ in curves], axis=0), label=name)
    axes.set(xlabel="recall of the rare class", ylabel=f"precision, mean of {len(tables)} tables")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=5, help="number of tables (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("imbalanced.png"), help="file for the plot (%(default)s)")
    args = parser.parse_args()

    with threadpool_limits(1):
        tables = [compared(seed, args.batches) for seed in range(args.seeds)]
    for name in tables[0][1]:
        each = [average_precision_score(y, found[name]) for y, found in tables]
        print(f"{name}: average precision {np.mean(each):.2f}; of each table {', '.join(f'{p:.2f}' for p in each)}")
    draw(args.out, tables)
    print(f"saved {args.out}")


if __name__ == "__main__":
    main()
