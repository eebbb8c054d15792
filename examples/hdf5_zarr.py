"""Train on digits that are read from HDF5 and zarr files, in worker processes, and compare with memory.

Shows array-likes over files (``HDF5Array``, ``ZarrArray``) in place of arrays. The batches are the same as from memory,
and so are the weights, bit for bit: with a full shuffle, and with a shuffle by blocks (``BlockSampler``), which suits
compressed chunks. Then it measures the batches per second of both shuffles, and of the order of the file, for data that
is contiguous, in chunks, and compressed. To run it::

    pip install 'batchup[examples,hdf5,zarr]'
    python hdf5_zarr.py

It takes some seconds, prints the accuracy on digits that it was not trained on, and draws the rates.
"""

import argparse
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import zarr
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from batchup import ArrayDataSource, BlockSampler, Loader, WorkerProcessPool
from batchup.storage import HDF5Array, ZarrArray

SEED = 12345
BATCH_SIZE = 64
BLOCK = 64  # samples of a chunk
WINDOW = 8  # chunks that a shuffle by blocks mixes


def written(folder, images):
    """The images in new files of several kinds: an array-like over each, by name."""
    folder.mkdir()
    chunks = (BLOCK, *images.shape[1:])
    with h5py.File(folder / "digits.h5", "w") as file:
        file.create_dataset("contiguous", data=images)
        file.create_dataset("chunks", data=images, chunks=chunks)
        file.create_dataset("gzip", data=images, chunks=chunks, compression="gzip")
    zarr.create_array(folder / "digits.zarr", name="zstd", data=images, chunks=chunks)
    found = {f"HDF5, {name}": HDF5Array(folder / "digits.h5", name) for name in ["contiguous", "chunks", "gzip"]}
    return {**found, "zarr, zstd": ZarrArray(folder / "digits.zarr", "zstd")}


def probabilities(weights, images):
    scores = images.reshape(len(images), -1) @ weights
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def trained(source, pool, epochs):
    """The weights of a logistic regression."""
    weights = np.zeros((64, 10), np.float32)
    loader = Loader(source, BATCH_SIZE, shuffle=SEED, pool=pool)
    for _ in range(epochs):
        for X, y in loader:
            error = probabilities(weights, X) - np.eye(10, dtype=np.float32)[y]
            weights -= 0.1 * X.reshape(len(X), -1).T @ error / len(X)
    return weights


def rate(array, shuffle, blocks=False):
    """Batches per second of some epochs, after one that is not counted."""
    sampler = BlockSampler(len(array), BLOCK, WINDOW) if blocks else None
    source = ArrayDataSource([array], sampler=sampler)
    list(source.batch_iterator(BATCH_SIZE, shuffle=shuffle))
    start = time.perf_counter()
    n = sum(1 for _ in range(3) for _ in source.batch_iterator(BATCH_SIZE, shuffle=shuffle))
    return n / (time.perf_counter() - start)


ORDERS = {"full shuffle": (SEED,), "shuffle by blocks": (SEED, True), "in the order of the file": (None,)}


def draw(path, rates):
    """Save a picture of the rates, in each order."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")  # a Figure without pyplot needs no display
    ax = figure.subplots()
    for i, label in enumerate(ORDERS):
        ax.barh(np.arange(len(rates)) + 0.27 * i, [each[label] for each in rates.values()], 0.27, label=label)
    ax.set_yticks(np.arange(len(rates)) + 0.27, list(rates))
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlim(100)
    ax.set_xlabel("batches per second")
    ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=3, frameon=False)
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("rates.png"), help="where the picture goes (%(default)s)")
    args = parser.parse_args()

    digits, labels = load_digits(return_X_y=True)
    digits = (digits.reshape(-1, 8, 8) / 16).astype(np.float32)
    order = np.random.RandomState(SEED).permutation(len(digits))
    test, train = order[:450], order[450:]

    with tempfile.TemporaryDirectory() as folder, WorkerProcessPool(2) as pool:
        known, y = digits[train], labels[train]  # for training; each file holds these
        arrays = {"memory": known, **written(Path(folder, "small"), known)}
        equal = True
        for order, sampler in [("full shuffle", None), ("by blocks", BlockSampler(len(train), BLOCK, WINDOW))]:
            weights = {}
            for name, array in arrays.items():
                weights[name] = trained(ArrayDataSource([array, y], sampler=sampler), pool, args.epochs)
                accuracy = (probabilities(weights[name], digits[test]).argmax(axis=1) == labels[test]).mean()
                print(f"{order:12}  {name:17} accuracy on {len(test)} held-out digits: {accuracy:.2%}")
            equal &= all(np.array_equal(weights["memory"], each) for each in weights.values())
        print(f"all weights are equal, bit for bit: {equal}")

        large = {"memory": np.tile(digits, (20, 1, 1))}
        large |= written(Path(folder, "large"), large["memory"])
        draw(args.out, {name: {what: rate(x, *how) for what, how in ORDERS.items()} for name, x in large.items()})
    print(f"saved {args.out}")


if __name__ == "__main__":
    with threadpool_limits(1):  # more gain nothing on small matrices, and lose much when the machine is busy
        main()
