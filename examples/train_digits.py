"""Train a small network on handwritten digits, with augmented batches prepared by two threads.

Shows a source over a part of the data (``indices``), random augmentation that comes out the same at each run however
the threads take turns (``random_map``), batches made in the background while the network learns, and an evaluation in
batches.

The network is plain NumPy, so that nothing stands between you and the batches. To run it::

    pip install 'batchup[examples]'
    python train_digits.py

It takes a few seconds, prints the accuracy on digits that it was not trained on, and draws some of them.
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
    """Each of the images, 8 x 8, turned by its angle (in radians) and moved by its dy and dx (in pixels)."""
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    row, col = np.mgrid[:8, :8] - 3.5
    y = (cos * row - sin * col + dy[:, None, None] + 4.5).clip(0, 9)  # where each pixel comes from, in an image
    x = (sin * row + cos * col + dx[:, None, None] + 4.5).clip(0, 9)  # with a rim of one empty pixel
    top, left = y.astype(int).clip(0, 8), x.astype(int).clip(0, 8)
    rimmed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    n = np.arange(len(images))[:, None, None]
    upper = rimmed[n, top, left] * (left + 1 - x) + rimmed[n, top, left + 1] * (x - left)
    lower = rimmed[n, top + 1, left] * (left + 1 - x) + rimmed[n, top + 1, left + 1] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


def augment(images, labels, rng):
    """The batch with its digits slightly turned, moved and blotted, by chance that belongs to this batch."""
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
        """What goes into each layer, with a column of ones for the bias; and last the probability of each class."""
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
        """Learn from one batch; what comes back is the mean loss."""
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
    """Save a picture of 50 digits with what was predicted for them: the mistakes first, in red."""
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
    parser.add_argument("--out", type=Path, default=Path("digits.png"), help="where the picture goes (%(default)s)")
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
    with threadpool_limits(1):  # more gain nothing on small matrices, and lose much when the machine is busy
        main()
