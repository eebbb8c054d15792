"""Make batches on a Dask cluster: two worker processes read digits from a file by its path, and extract features.

Shows a loader whose pool is a cluster. What travels to the cluster is the source, once, and a pick for each batch; what
comes back are the features. The cluster here is on this machine. For one on other machines, pass its address, and give
paths that exist on all of them.

Trains a classifier batch by batch, once with batches from the cluster and once with batches that are made in the loop,
and shows that both end with the same weights. To run it::

    pip install 'batchup[examples,dask]'
    python dask_cluster.py
"""

import argparse
import contextlib
import logging
import tempfile
from pathlib import Path

import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

from batchup import ArrayDataSource, Loader

SEED = 12345


class Images:
    """The images of a ``.npy`` file, which each worker opens by itself. It travels as its path."""

    def __init__(self, path):
        self.path = path
        self.images = None

    def __len__(self):
        return len(self.opened())

    def __getitem__(self, indices):
        return np.asarray(self.opened()[indices])

    def opened(self):
        if self.images is None:
            self.images = np.load(self.path, mmap_mode="r")
        return self.images

    def __getstate__(self):
        return {"path": self.path, "images": None}


def shift(images, labels, rng):
    """Move each digit by a pixel at most."""
    moves = rng.integers(-1, 2, (len(images), 2))
    return np.stack([np.roll(image, move, (0, 1)) for image, move in zip(images, moves, strict=True)]), labels


def features(images, labels):
    """The spectrum of each digit, its means over squares of two by two pixels, and its pixels."""
    n = len(images)
    spectrum = np.log1p(np.abs(np.fft.rfft2(images)))
    means = images.reshape(n, 4, 2, 4, 2).mean(axis=(2, 4))
    return np.hstack([each.reshape(n, -1) for each in (spectrum, means, images)]), labels


def two_processes():
    """A cluster on this machine."""
    return LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.ERROR)


def train(source, epochs, pool=None):
    """The weights after some epochs with batches from this pool."""
    model = SGDClassifier(loss="log_loss", alpha=1e-3, average=True, random_state=SEED)
    with Loader(source, 32, shuffle=SEED, pool=pool) as loader:
        while loader.epoch < epochs:
            for X, y in loader:
                model.partial_fit(X, y, classes=range(10))
        print(loader.explain())
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--scheduler", help="address of a cluster that is there, such as tcp://host:8786")
    args = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(images))
    held_out, training = order[:450], order[450:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "digits.npy")
        np.save(path, images.reshape(-1, 8, 8) / 16)
        data = ArrayDataSource([Images(path), labels], indices=training).random_map(shift).map(features)
        alone = train(data, args.epochs)
        cluster = contextlib.nullcontext(args.scheduler) if args.scheduler else two_processes()
        with cluster as address, Client(address) as client:
            model = train(data, args.epochs, pool=client)
            print(f"batches were made by {len(client.scheduler_info()['workers'])} workers of the cluster")
        test = ArrayDataSource([Images(path), labels], indices=held_out).map(features)
        X, y = next(test.batch_iterator(len(held_out)))

    print(f"the weights of both runs are equal, bit for bit: {np.array_equal(alone.coef_, model.coef_)}")
    print(f"accuracy on held-out digits: {model.score(X, y):.2%}")


if __name__ == "__main__":
    main()
