"""Train a small network on handwritten digits. Two threads prefetch and augment the batches.

Shows a source over a part of the data (``indices``), random augmentation that is the same in each run (``random_map``),
batches that are made in the background while the network trains, and an evaluation in batches.

The network is written in plain NumPy. To run it::

    pip install 'batchup[examples]'
    python train_digits.py

It takes a few seconds, prints the accuracy on held-out digits, and plots some of them.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from batchup import ArrayDataSource, Loader

SEED = 12345
BATCH_SIZE = 64


def warp(images, angle, dy, dx):
    """Rotate each 8 x 8 image by its angle (in radians) and shift it by its dy and dx (in pixels)."""
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    row, col = np.mgrid[:8, :8] - 3.5
    y = (cos * row - sin * col + dy[:, None, None] + 4.5).clip(0, 9)  # the source of each pixel
    x = (sin * row + cos * col + dx[:, None, None] + 4.5).clip(0, 9)  # in the image padded by one pixel
    top, left = y.astype(int).clip(0, 8), x.astype(int).clip(0, 8)
    rimmed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    n = np.arange(len(images))[:, None, None]
    upper = rimmed[n, top, left] * (left + 1 - x) + rimmed[n, top, left + 1] * (x - left)
    lower = rimmed[n, top + 1, left] * (left + 1 - x) + rimmed[n, top + 1, left + 1] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


def augment(images, labels, rng):
    """Rotate and shift the digits of a batch a little, and add noise; `rng` belongs to this batch."""
    n = len(images)
    images = warp(images, rng.normal(0, 0.1, n), rng.normal(0, 0.3, n), rng.normal(0, 0.3, n))
    return images + rng.normal(0, 0.05, images.shape), labels


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

    def predict(self, images):
        return self.activations(images)[1].argmax(axis=1)

    def step(self, images, labels, rate):
        """Train on one batch and return the mean loss."""
        into, p = self.activations(images)
        error = (p - np.eye(10)[labels]) / len(labels)
        gradients = []
        for x, w in zip(into[::-1], self.layers[::-1], strict=True):
            gradients.append(x.T @ error)
            error = (error @ w[:-1].T) * (x[:, :-1] > 0)
        self.steps += 1
        for w, (mean, square), g in zip(self.layers, self.moments, gradients[::-1], strict=True):
            mean += 0.1 * (g - mean)
            square += 0.001 * (g * g - square)
            w -= rate * mean / (1 - 0.9**self.steps) / (np.sqrt(square / (1 - 0.999**self.steps)) + 1e-8)
        return -np.log(p[np.arange(len(labels)), labels] + 1e-12).mean()


def draw(path, images, labels, predicted):
    """Save a plot of 50 digits with their predictions: the mistakes first, in red."""
    figure = Figure(figsize=(8, 5), layout="constrained")  # a Figure without pyplot needs no display
    order = np.argsort(predicted == labels, kind="stable")
    for ax, i in zip(figure.subplots(5, 10).flat, order, strict=False):
        right = predicted[i] == labels[i]
        ax.imshow(images[i], cmap="gray_r")
        ax.set_title(f"{predicted[i]}" if right else f"{predicted[i]}, is {labels[i]}", color="k" if right else "r")
        ax.set_axis_off()
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("digits.png"), help="file for the plot (%(default)s)")
    args = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    rng = np.random.RandomState(SEED)
    order = rng.permutation(len(images))
    test, train = order[:450], order[450:]

    train_ds = ArrayDataSource([images, labels], indices=train).random_map(augment)
    test_ds = ArrayDataSource([images, labels], indices=test)
    network = Network([64, 256, 128, 10], rng)

    with Loader(train_ds, BATCH_SIZE, shuffle=SEED, pool=2) as loader:
        epochs = tqdm(range(args.epochs), unit="epoch")
        for epoch in epochs:
            rate = 0.002 * (1 - epoch / args.epochs)
            losses = [network.step(X, y, rate) for X, y in loader]
            epochs.set_postfix(loss=f"{np.mean(losses):.3f}")

    (predicted,) = test_ds.batch_map_concat(lambda X, y: network.predict(X), batch_size=256)
    print(f"accuracy on {len(test)} held-out digits: {(predicted == labels[test]).mean():.2%}")
    draw(args.out, images[test], labels[test], predicted)
    print(f"saved {args.out}")


if __name__ == "__main__":
    with threadpool_limits(1):  # more threads do not help with small matrices, and hurt on a busy machine
        main()
