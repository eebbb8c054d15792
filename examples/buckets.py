"""Batches of sequences of similar length: `BucketSampler` in the Loader, and ``buckets`` of ``batchup.batch_iter``.

Each digit is read as a sequence of its inked pixels, 15 to 46 of them. Prints the share of padding with plain shuffling
and with both kinds of buckets, and the accuracy on held-out digits of a network that was trained on each.
The shapes of the Loader's batches are known in advance, so that a compiler compiles once for each shape.

Buckets mix samples less than a full shuffle does, which can cost accuracy: with small windows and a constant learning
rate it is 4 to 8 points on these digits. The window and the decay of the rate were chosen so that little is lost. To
run it::

    pip install 'batchup[examples]'
    python buckets.py

It takes a few seconds.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from batchup import ArrayDataSource, BucketSampler, Loader, pad
from batchup.batch_iter import Infinite, buckets, combine_pad, sample

BATCH_SIZE = 32
VALUES = 17  # of a pixel: its row, its column, and its ink


def sequence(image):
    """The inked pixels of an 8 x 8 image, in reading order."""
    rows, columns = np.nonzero(image)
    places = np.eye(8, dtype=np.float32)
    return np.column_stack([places[rows], places[columns], image[rows, columns] / 16]).astype(np.float32)


class Network:
    """A layer over each pixel, a mean over the pixels of a sequence, and a linear layer; trained by Adam."""

    def __init__(self, seed, hidden=96):
        rng = np.random.default_rng(seed)
        self.layers = [rng.normal(0, np.sqrt(2 / n), (n, m)) for n, m in ((VALUES, hidden), (hidden, 10))]
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for w in self.layers]
        self.steps = 0

    def forward(self, x, mask):
        seen = x @ self.layers[0]
        share = mask / mask.sum(axis=1, keepdims=True)  # the output does not depend on the padding
        mean = np.einsum("bth,bt->bh", np.maximum(seen, 0), share)
        p = np.exp(mean @ self.layers[1])
        return seen, share, mean, p / p.sum(axis=1, keepdims=True)

    def step(self, x, y, mask, rate):
        seen, share, mean, p = self.forward(x, mask)
        error = (p - np.eye(10)[y]) / len(y)
        back = (error @ self.layers[1].T)[:, None, :] * share[:, :, None] * (seen > 0)
        self.steps += 1
        for w, (first, second), g in zip(
            self.layers, self.moments, [np.einsum("btv,bth->vh", x, back), mean.T @ error], strict=True
        ):
            first += 0.1 * (g - first)
            second += 0.001 * (g * g - second)
            w -= rate * first / (1 - 0.9**self.steps) / (np.sqrt(second / (1 - 0.999**self.steps)) + 1e-8)


def from_batch_iter(x, y, epochs, seed):
    """The batches of all epochs, from a stream of items."""
    with Infinite(
        sample(list(zip(x, y, map(np.ones, map(len, x)), strict=True))),
        buckets(lambda item: len(item[0]), BATCH_SIZE),
        batch_size=BATCH_SIZE,
        batches_per_epoch=len(x) // BATCH_SIZE,
        combiner=combine_pad,
        ratio=0,
        seed=seed,
    ) as stream:
        for _ in range(epochs):
            yield from stream()


def from_loader(loader, epochs):
    for _ in range(epochs):
        yield from loader


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    digits = load_digits()
    x, y = list(map(sequence, digits.images)), digits.target
    train, test = ArrayDataSource([x, y]).split({"train": 0.6, "test": 0.4}, stratify=y, seed=0).values()
    x_train, y_train = next(train.batch_iterator(len(y)))
    held_out = next(test.map(pad(mask=True)).batch_iterator(len(y)))

    sampler = BucketSampler(list(map(len, x_train)), window=8)
    shapes = sampler.shapes(BATCH_SIZE)
    plain, bucketed = (
        Loader(ArrayDataSource([x_train, y_train], sampler=each).map(padded), BATCH_SIZE, shuffle=args.seed)
        for each, padded in ((None, pad(mask=True)), (sampler, pad(mask=True, length=[n for _, n in shapes])))
    )
    sources = {
        "plain shuffling": from_loader(plain, args.epochs),
        "BucketSampler": from_loader(bucketed, args.epochs),
        "buckets of batch_iter": from_batch_iter(x_train, y_train, args.epochs, args.seed),
    }
    n = args.epochs * len(bucketed)
    with threadpool_limits(1):
        for name, batches in sources.items():
            network, real, cells = Network(args.seed), 0, 0
            for i, (values, labels, mask) in enumerate(batches):
                network.step(values, labels, mask, rate=0.03 * (1 - i / n))
                real, cells = real + mask.sum(), cells + mask.size
            accuracy = (network.forward(held_out[0], held_out[2])[-1].argmax(axis=1) == held_out[1]).mean()
            print(f"{name}: {1 - real / cells:.1%} padding, accuracy {accuracy:.2%}")
    filled = Loader(bucketed.source, BATCH_SIZE, shuffle=args.seed, last="pad")
    found = {values.shape[:2] for values, *_ in filled}
    print(f"shapes of the Loader's batches, filled up: {sorted(found)}, as the sampler says: {found == set(shapes)}")


if __name__ == "__main__":
    main()
