"""Recognise nine speakers from time series of many lengths, in padded batches of series of similar length.

Shows items of variable length in a pipe: it draws random series, crops each at random, puts series of similar length
into the same batch (buckets), and pads each batch to its longest series. Prints the share of padding with and without
buckets, and the accuracy on held-out speech. To run it::

    pip install 'batchup[examples]'
    python vowels.py

It takes less than a minute, and plots the accuracy by epoch and one batch of each kind. The data comes with sktime: 640
utterances of two Japanese vowels by nine men, each 7 to 29 frames of 12 cepstrum coefficients (M. Kudo, J. Toyama and
M. Shimbo, 1999; UCI Machine Learning Repository, CC BY 4.0).
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from batchup.batch_iter import Infinite, apply_at, buckets, combine_pad, random_apply, sample, unpack_args

BATCH_SIZE = 30
BATCHES = 20  # per epoch
WIDTH = 5  # frames per window of the network


def utterances(part):
    """Return pairs of a series (frames × 12) and its speaker (from 0). `part` is ``TRAIN`` or ``TEST``."""
    found = importlib.util.find_spec("sktime")
    if found is None:
        raise SystemExit("this example reads data that comes with sktime: pip install 'batchup[examples]'")
    path = Path(found.origin).parent / f"datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts"
    lines = [line for line in path.read_text().splitlines() if line[:1] not in ("#", "@", "")]
    rows = [line.split(":") for line in lines]
    return [(np.array([channel.split(",") for channel in row[:-1]], np.float32).T, int(row[-1]) - 1) for row in rows]


def part_of(series, rng):
    """Crop the series at random, to at least two thirds of its frames."""
    n = rng.integers(2 * len(series) // 3, len(series) + 1)
    first = rng.integers(len(series) - n + 1)
    return series[first : first + n]


def with_noise(series, rng, spread=0.03):
    return series + rng.normal(0, spread, series.shape).astype(np.float32)


def with_length(series, speaker):
    return series, speaker, len(series)


def length(item):
    return item[2]


def pipe(data, seed, *last):
    """Batches of padded series, speakers and lengths."""
    return Infinite(
        sample(data),
        apply_at(0, part_of),
        random_apply(0.8, apply_at(0, with_noise)),
        unpack_args(with_length),
        *last,
        batch_size=BATCH_SIZE,
        batches_per_epoch=BATCHES,
        buffer_size=4,
        combiner=combine_pad,
        ratio=[0, 0.5],
        seed=seed,
    )


class Network:
    """A layer over windows of frames, a mean over the frames of each series, and a linear layer; trained by Adam."""

    def __init__(self, mean, spread, seed, hidden=64, speakers=9):
        rng = np.random.default_rng(seed)
        self.mean, self.spread = mean, spread
        sizes = [(WIDTH * len(mean) + 1, hidden), (hidden + 1, speakers)]
        self.layers = [rng.normal(0, np.sqrt(2 / n), (n, m)) for n, m in sizes]
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for w in self.layers]
        self.steps = 0

    def forward(self, series, lengths):
        """Return the inputs of each layer, the weights of the frames, and the probabilities of the speakers."""
        valid = np.arange(series.shape[1]) < lengths[:, None]  # the output does not depend on the padding
        x = np.where(valid[:, :, None], (series - self.mean) / self.spread, 0)
        x = np.pad(x, ((0, 0), (WIDTH // 2, WIDTH // 2), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, WIDTH, axis=1).reshape(*series.shape[:2], -1)
        frames = np.concatenate([windows, np.ones((*series.shape[:2], 1))], axis=2)
        counts = valid / lengths[:, None]
        seen = frames @ self.layers[0]
        mean = np.einsum("bth,bt->bh", np.maximum(seen, 0), counts)
        mean = np.column_stack([mean, np.ones(len(mean))])
        scores = mean @ self.layers[1]
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        return frames, seen, counts, mean, p / p.sum(axis=1, keepdims=True)

    def step(self, series, speakers, lengths, rate=0.003):
        frames, seen, counts, mean, p = self.forward(series, lengths)
        error = (p - np.eye(p.shape[1])[speakers]) / len(p)
        back = (error @ self.layers[1][:-1].T)[:, None, :] * counts[:, :, None] * (seen > 0)
        gradients = [np.einsum("bti,bth->ih", frames, back), mean.T @ error]
        self.steps += 1
        for w, (first, second), g in zip(self.layers, self.moments, gradients, strict=True):
            first += 0.1 * (g - first)
            second += 0.001 * (g * g - second)
            w -= rate * first / (1 - 0.9**self.steps) / (np.sqrt(second / (1 - 0.999**self.steps)) + 1e-8)

    def accuracy(self, data):
        series, speakers, lengths = combine_pad([with_length(*item) for item in data], ratio=[0, 0.5])
        return np.mean(self.forward(series, lengths)[-1].argmax(axis=1) == speakers)


def padding(batches):
    """The share of frames that are padding."""
    return 1 - sum(lengths.sum() for _, _, lengths in batches) / sum(series[..., 0].size for series, _, _ in batches)


def draw(path, accuracy, kinds):
    figure = Figure(figsize=(9, 3.2), layout="constrained")  # a Figure without pyplot needs no display
    first, *axes = figure.subplots(1, 3, width_ratios=[1.4, 1, 1])
    first.plot(range(1, len(accuracy) + 1), accuracy)
    first.set(xlabel="epoch", ylabel="accuracy on held-out speech", ylim=(0.5, 1))
    first.grid(alpha=0.3)
    for ax, (name, (series, _, lengths)) in zip(axes, kinds.items(), strict=True):
        shown = np.where(np.arange(series.shape[1]) < lengths[:, None], series[..., 0], np.nan)
        ax.imshow(shown, aspect="auto", interpolation="none")
        ax.set(title=f"one batch, {name}", xlabel="frame", yticks=[])
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=12345)
    parser.add_argument("--out", type=Path, default=Path("vowels.png"), help="file for the plot (%(default)s)")
    args = parser.parse_args()

    train, test = utterances("TRAIN"), utterances("TEST")
    with pipe(train, args.seed) as batch_iter:
        unsorted = list(batch_iter)
    frames = np.concatenate([series for series, _ in train])
    network = Network(frames.mean(axis=0), frames.std(axis=0), args.seed)
    accuracy = []
    with pipe(train, args.seed, buckets(length, BATCH_SIZE)) as batch_iter:
        for _ in tqdm(range(args.epochs), unit="epoch"):
            batches = []
            for batch in batch_iter():
                network.step(*batch)
                batches.append(batch)
            accuracy.append(network.accuracy(test))
    print(f"padding: {padding(unsorted):.1%} of the frames without buckets, {padding(batches):.1%} with buckets")
    print(f"accuracy on {len(test)} held-out utterances {accuracy[-1]:.2%}")
    draw(args.out, accuracy, {"without buckets": unsorted[0], "with buckets": batches[0]})
    print(f"saved {args.out}")


if __name__ == "__main__":
    main()
