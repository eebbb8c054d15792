"""Semi-supervised learning: train on 40 labelled and 1300 unlabelled digits, and on the 40 labelled ones only.

Shows a ``CompositeDataSource``: few labelled samples repeat beside one epoch of many unlabelled samples. Each batch
holds equal numbers of both. To run it::

    pip install 'batchup[examples]'
    python semi_supervised.py

It takes less than a minute, prints the accuracy of both networks on held-out digits, and plots it by epoch.
``--seed 1`` chooses other labels, other held-out digits and other initial weights.

How the network learns from unlabelled digits: it predicts the class of one augmented view of a digit. Its predictions
of past epochs are averaged and sharpened. This is the target for another view of the same digit. The network without
unlabelled digits sees the same labelled batches, with the same augmentation.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from batchup.data_source import ArrayDataSource, CompositeDataSource

BATCH_SIZE = 32
LABELS_PER_CLASS = 4


def view(images, rng):
    """Rotate and shift each 8 x 8 image a little, and add noise."""
    n = len(images)
    angle, dy, dx = (rng.normal(0, spread, (n, 1, 1)) for spread in (0.1, 0.3, 0.3))  # radians, pixels, pixels
    row, col = np.mgrid[:8, :8] - 3.5
    y = (np.cos(angle) * row - np.sin(angle) * col + dy + 4.5).clip(0, 9)  # the source of each pixel
    x = (np.sin(angle) * row + np.cos(angle) * col + dx + 4.5).clip(0, 9)  # in the image padded by one pixel
    top, left = y.astype(int).clip(0, 8), x.astype(int).clip(0, 8)
    rimmed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    i = np.arange(n)[:, None, None]
    upper = rimmed[i, top, left] * (left + 1 - x) + rimmed[i, top, left + 1] * (x - left)
    lower = rimmed[i, top + 1, left] * (left + 1 - x) + rimmed[i, top + 1, left + 1] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top) + rng.normal(0, 0.1, images.shape)


def views(labelled, labels, indices, unlabelled):
    """One view of the labelled images and two of the unlabelled ones, with the batch's indices as the seed."""
    rng = np.random.default_rng(indices)
    return view(labelled, rng), labels, indices, view(unlabelled, rng), view(unlabelled, rng)


class Network:
    """Two hidden layers of rectified linear units, trained by Adam."""

    def __init__(self, sizes, rng):
        self.layers = [rng.normal(0, np.sqrt(2 / n), (n + 1, m)) for n, m in zip(sizes, sizes[1:], strict=False)]
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for w in self.layers]
        self.steps = 0

    def activations(self, images):
        """Return the inputs of each layer, with a column of ones for the bias, and the probabilities of the classes."""
        x = images.reshape(len(images), -1)
        into = []
        for w in self.layers:
            into.append(np.column_stack([np.maximum(x, 0) if into else x, np.ones(len(x))]))
            x = into[-1] @ w
        p = np.exp(x - x.max(axis=1, keepdims=True))
        return into, p / p.sum(axis=1, keepdims=True)

    def step(self, images, targets, rate):
        """Train on one batch; a row of targets with a sum below 1 has less weight."""
        into, p = self.activations(images)
        error = (p * targets.sum(axis=1, keepdims=True) - targets) / len(targets)
        gradients = []
        for x, w in zip(into[::-1], self.layers[::-1], strict=True):
            gradients.append(x.T @ error)
            error = (error @ w[:-1].T) * (x[:, :-1] > 0)
        self.steps += 1
        for w, (mean, square), g in zip(self.layers, self.moments, gradients[::-1], strict=True):
            mean += 0.1 * (g - mean)
            square += 0.001 * (g * g - square)
            w -= rate * mean / (1 - 0.9**self.steps) / (np.sqrt(square / (1 - 0.999**self.steps)) + 1e-8)

    def correct(self, images, labels):
        return self.activations(images)[1].argmax(axis=1) == labels


def train(name, source, test_ds, epochs, seed, use_unlabelled):
    """Return the accuracy on the held-out digits after each epoch."""
    rng = np.random.RandomState(seed)
    network = Network([64, 256, 128, 10], rng)
    answers = np.full((source.num_samples(), 10), 0.1)  # a running mean of the predictions for each digit
    accuracy = []
    for epoch in tqdm(range(epochs), desc=name, unit="epoch"):
        rate = 0.002 * (1 - epoch / epochs)
        trust = min(epoch / 10, 1)  # early predictions have little weight
        for X, y, indices, one, other in source.batch_iterator(BATCH_SIZE, shuffle=rng):
            targets = np.eye(10)[y]
            if use_unlabelled:
                answers[indices] = 0.8 * answers[indices] + 0.2 * network.activations(one)[1]
                guess = (answers[indices] / answers.mean(axis=0)) ** 2  # balance the classes
                guess *= trust / guess.sum(axis=1, keepdims=True)
                X, targets = np.concatenate([X, other]), np.concatenate([targets, guess])
            network.step(X, targets, rate)
        accuracy += test_ds.batch_map_mean(network.correct, 256, sum_axis=0)
    return accuracy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=12345)
    parser.add_argument("--out", type=Path, default=Path("semi_supervised.png"), help="file for the plot (%(default)s)")
    args = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    order = np.random.RandomState(args.seed).permutation(len(images))
    test, rest = order[:450], order[450:]
    labelled = np.concatenate([rest[labels[rest] == digit][:LABELS_PER_CLASS] for digit in range(10)])
    unlabelled = np.setdiff1d(rest, labelled)

    test_ds = ArrayDataSource([images, labels], indices=test)
    labelled_ds = ArrayDataSource([images, labels], indices=labelled, repeats=-1)
    unlabelled_ds = ArrayDataSource([images[unlabelled]], include_indices=True)
    source = CompositeDataSource([labelled_ds, unlabelled_ds]).map(views)

    figure = Figure(figsize=(6, 4), layout="constrained")  # a Figure without pyplot needs no display
    ax = figure.subplots()
    for name, use_unlabelled in [("labels alone", False), ("with unlabelled", True)]:
        accuracy = train(name, source, test_ds, args.epochs, args.seed, use_unlabelled)
        print(f"{name}: accuracy on {len(test)} held-out digits {accuracy[-1]:.2%}")
        ax.plot(range(1, args.epochs + 1), accuracy, label=f"{name}: {accuracy[-1]:.1%}")
    ax.set(xlabel="epoch", ylabel="accuracy on held-out digits", ylim=(0.6, 1), title=f"{len(labelled)} labels")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")
    figure.savefig(args.out, dpi=100)
    print(f"saved {args.out}")


if __name__ == "__main__":
    with threadpool_limits(1):  # more threads do not help with small matrices, and hurt on a busy machine
        main()
